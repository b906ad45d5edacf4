"""One writer for each directory of a volume, whatever jobs are called and whenever they come."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from finetune_operator.keys import JobKey
from finetune_operator.watching.directories import Directory, directories
from operator_scenes import make_job
from reconciler_rig import Rig

Manifest = dict[str, Any]

SHARED = {"checkpoints": {"storage": {"claimName": "nfs", "subPath": "runs/one"}}}
FIRST, SECOND = JobKey("team", "first"), JobKey("team", "second")


def ended(type_: str = "Complete") -> Manifest:
    """The status of a job that began and is over."""
    condition = {"type": type_, "status": "True", "reason": "Succeeded", "message": ""}
    stamped = {**condition, "observedGeneration": 1, "lastTransitionTime": "2026-01-01T13:00:00Z"}
    return {**begun(), "conditions": [stamped]}


def begun(at: str = "2026-01-01T12:00:00Z", outcome: str = "Suspended") -> Manifest:
    """The status of a job that has had an attempt, of which no pod is left."""
    attempt = {"number": 1, "outcome": outcome, "startTime": at, "endTime": at}
    return {"startTime": at, "observedGeneration": 1, "attempts": [attempt]}


def pod(job: str, phase: str = "Running", version: int = 7) -> Manifest:
    """A pod of a job's first attempt."""
    labels = {
        "finetune.dev/job": job,
        "finetune.dev/attempt": "1",
        "app.kubernetes.io/managed-by": "finetune-operator",
    }
    metadata = {"name": f"{job}-1-0-x", "namespace": "team", "uid": "p", "resourceVersion": str(version)}
    return {"metadata": {**metadata, "labels": labels}, "status": {"phase": phase}}


@pytest.fixture
def rig(clock: Any) -> Rig:
    return Rig(clock)


def test_a_job_writes_to_its_run_directory_and_to_where_its_results_go() -> None:
    assert directories(make_job()) == {Directory("tune-storage", "tune")}
    sections = {**SHARED, "output": {"storage": {"claimName": "results"}}}
    assert directories(make_job(sections)) == {Directory("nfs", "runs/one"), Directory("results", "tune")}


def test_two_ways_to_write_a_path_are_one_directory() -> None:
    paths = ("runs/one/", "./runs//one", "runs/./one")
    jobs = [make_job({"checkpoints": {"storage": {"claimName": "nfs", "subPath": path}}}) for path in paths]
    assert {place for job in jobs for place in directories(job)} == {Directory("nfs", "runs/one")}


async def test_the_second_job_of_a_directory_is_told_whose_it_is(rig: Rig) -> None:
    rig.know(SHARED, name="first")
    rig.know(SHARED, name="second")
    await rig.reconciler.reconcile(FIRST)
    assert await rig.reconciler.reconcile(SECOND) == 60
    assert rig.children() == ["first-1"]
    stalled = rig.condition("Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "DirectoryInUse")
    assert (
        "FineTuneJob first, which has not ended, writes to directory runs/one of claim nfs"
        in (stalled["message"])
    )
    assert "another checkpoints.storage.subPath" in stalled["message"]


async def test_of_two_jobs_that_come_at_once_one_begins(rig: Rig) -> None:
    rig.know(SHARED, name="first")
    rig.know(SHARED, name="second")
    await asyncio.gather(rig.reconciler.reconcile(SECOND), rig.reconciler.reconcile(FIRST))
    assert rig.children() == ["second-1"]


@pytest.mark.parametrize(
    ("status", "begins"),
    [
        ({}, True),
        (begun(), False),
        (begun(outcome="Failed"), False),
        (ended(), True),
        (ended("Failed"), True),
    ],
    ids=["not begun", "suspended", "between attempts", "succeeded", "failed"],
)
async def test_a_directory_is_a_job_s_from_its_first_attempt_to_its_end(
    rig: Rig, status: Manifest, begins: bool
) -> None:
    rig.know(SHARED, name="first", status=status)
    rig.know(SHARED, name="second")
    await rig.reconciler.reconcile(SECOND)
    assert rig.children() == (["second-1"] if begins else [])


async def test_of_two_that_both_have_begun_the_earlier_goes_first(rig: Rig) -> None:
    """As after an upgrade from an operator that let both begin."""
    rig.know(SHARED, name="first", status=begun("2026-01-01T12:00:05Z"))
    rig.know(SHARED, name="second", status=begun("2026-01-01T12:00:00Z"))
    await rig.reconciler.reconcile(FIRST)
    assert rig.children() == []
    await rig.reconciler.reconcile(SECOND)
    assert rig.children() == ["second-2"]


async def test_other_directories_and_other_namespaces_are_nobody_s_business(rig: Rig) -> None:
    elsewhere = {"checkpoints": {"storage": {"claimName": "nfs", "subPath": "runs/two"}}}
    rig.know(elsewhere, name="first", status=begun())
    rig.know(SHARED, name="third", namespace="others", status=begun())
    rig.know(SHARED, name="second")
    await rig.reconciler.reconcile(SECOND)
    assert rig.children() == ["second-1"]


async def test_a_pod_of_a_deleted_job_that_still_saves_is_waited_for(rig: Rig) -> None:
    rig.know(SHARED, name="first")
    rig.know(SHARED, name="second")
    await rig.reconciler.reconcile(FIRST)
    rig.state.pods.put(pod("first"))
    rig.lose("first")
    await rig.reconciler.reconcile(FIRST)
    assert await rig.reconciler.reconcile(SECOND) == 5
    said = rig.condition("Reconciling")
    assert said["reason"] == "AwaitingPods"
    assert "first-1-0-x has ended, which still writes to directory runs/one of claim nfs" in said["message"]
    rig.state.pods.put(pod("first", "Succeeded", version=8))
    await rig.reconciler.reconcile(FIRST)
    await rig.reconciler.reconcile(SECOND)
    assert rig.children() == ["second-1"]


async def test_a_pod_that_never_ends_is_in_the_way_of_its_own_directory_alone(rig: Rig) -> None:
    """As on a node that is lost: other jobs of a shared claim go on."""
    elsewhere = {"checkpoints": {"storage": {"claimName": "nfs", "subPath": "runs/two"}}}
    rig.know(elsewhere, name="first")
    rig.know(SHARED, name="second")
    await rig.reconciler.reconcile(FIRST)
    rig.state.pods.put(pod("first"))
    rig.lose("first")
    await rig.reconciler.reconcile(FIRST)
    await rig.reconciler.reconcile(SECOND)
    assert rig.children() == ["second-1"]
