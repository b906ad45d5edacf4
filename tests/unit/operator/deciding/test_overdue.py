"""A pod that does not end in its time is named, whatever the job waits for, with what lets it go on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from finetune_operator.observation import CLOCKS_DIFFER, ObservedPod
from operator_scenes import Operator, at, child, created_jobs, ended_pod, pod, replace

OVERDUE = 100 + CLOCKS_DIFFER / timedelta(seconds=1)
"""Seconds after which a pod that was to be gone by 100 is overdue."""


def going(**facts: Any) -> ObservedPod:
    return pod(deleting=True, gone_by=at(100), **facts)


def running() -> Operator:
    operator = Operator()
    operator.see(0)
    operator.see(50, [child()], [pod()])
    return operator


def test_a_deleted_pod_on_a_node_that_is_away_is_named_with_the_way_out() -> None:
    operator = running()
    operator.see(OVERDUE, [child()], [going()])
    said = operator.message("Reconciling")
    assert "tune-1-0-x was to have ended by 12:01:40 UTC; node node-1" in said
    assert "kubectl delete pod tune-1-0-x --force" in said


def test_until_then_it_is_left_in_peace_and_looked_at_again() -> None:
    operator = running()
    plan = operator.see(OVERDUE - 1, [child()], [going()])
    assert "tune-1-0-x" not in operator.message("Reconciling")
    assert plan.requeue_after == 1


def test_a_job_that_is_suspended_says_whom_it_waits_for() -> None:
    operator = running()
    operator.edit(suspend=True)
    operator.see(60, [child()], [pod()])
    operator.see(OVERDUE, [child(deleting=True)], [going()])
    assert operator.status.phase == "Suspending"
    assert "tune-1-0-x was to have ended" in operator.message("Reconciling")


def test_a_job_that_took_the_name_of_another_says_whom_it_waits_for() -> None:
    operator = Operator()
    plan = operator.see(OVERDUE, [], [replace(going(), owner_uid="an earlier one")])
    assert created_jobs(plan) == []
    assert "tune-1-0-x was to have ended" in operator.message("Reconciling")


def test_a_pod_that_has_ended_or_never_had_a_node_is_not_overdue() -> None:
    for gone in (ended_pod(20, deleting=True, gone_by=at(100)), going(phase="Pending", node=None)):
        operator = running()
        operator.see(OVERDUE, [child()], [gone])
        assert "was to have ended" not in operator.message("Reconciling")
