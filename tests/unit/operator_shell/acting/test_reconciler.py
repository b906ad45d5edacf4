"""Carrying out what was decided, against an API server that answers as the test says."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_api import ProgressReport
from finetune_operator.cluster import JOBS
from finetune_operator.health import OVERDUE_SECONDS
from finetune_operator.keys import JobKey
from operator_scenes import UID
from reconciler_rig import Rig

KEY = JobKey("team", "tune")
DENIED = (
    'admission webhook "validate.kyverno.svc-fail" denied the request: a Job needs the label "cost-centre"'
)


@pytest.fixture
def rig(clock: Any) -> Rig:
    return Rig(clock)


async def test_creates_the_attempt_and_then_says_so(rig: Rig) -> None:
    rig.know()
    await rig.reconciler.reconcile(KEY)
    assert [found.name for found in rig.state.jobs.of_job(KEY)] == ["tune-1"]
    assert rig.condition("Reconciling")["message"] == "Attempt 1 has been created."


async def test_the_times_in_a_status_are_the_api_servers(rig: Rig) -> None:
    rig.api.clock.heard("Thu, 01 Jan 2026 12:00:00 GMT")
    rig.know()
    await rig.reconciler.reconcile(KEY)
    status = rig.api.statuses[-1]
    times = [status["startTime"], *(found["lastTransitionTime"] for found in status["conditions"])]
    assert all(time.startswith("2026-01-01T12:00:0") for time in times), times
    assert all(
        made["eventTime"].startswith("2026-01-01T12:00:0")
        for made in rig.api.stored.values()
        if made["kind"] == "Event"
    )


async def test_an_attempt_is_not_lost_because_the_watch_of_jobs_is_behind(rig: Rig) -> None:
    """Another operator has made it, or this one was stopped for a while: its ConfigMap would be deleted."""
    rig.know()
    await rig.reconciler.reconcile(KEY)
    attempt = {"number": 1, "startTime": "2026-01-01T12:00:00Z", "pods": 1}
    rig.state.jobs.forget("team", "tune-1", "u")
    assert not rig.state.jobs.of_job(KEY)
    rig.api.version = 200
    stored = rig.api.stored[JOBS.path("team", "tune-1")]
    stored["metadata"]["resourceVersion"] = "199"
    rig.know(status={**rig.api.statuses[-1], "attempts": [attempt]})
    await rig.reconciler.reconcile(KEY)
    assert "ConfigMap" in {made["kind"] for made in rig.api.stored.values()}
    assert rig.api.statuses[-1]["attempts"][0].get("outcome", "Running") == "Running"


async def test_a_watch_that_is_faster_than_the_answer_is_not_taken_for_deaf(rig: Rig, clock: Any) -> None:
    rig.api.told = lambda made: made["kind"] == "Job" and rig.state.tell(JOBS, "ADDED", made)
    rig.know()
    await rig.reconciler.reconcile(KEY)
    clock.advance(OVERDUE_SECONDS + 1)
    assert JOBS.plural not in rig.state.monitor.deaf()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (400, DENIED),
        (403, 'jobs.batch "tune-1" is forbidden: exceeded quota: jobs'),
        (500, 'Internal error occurred: failed calling webhook "mjob.kueue.x-k8s.io": connection refused'),
    ],
)
async def test_the_status_says_what_the_api_server_has_against_a_child(
    rig: Rig, code: int, message: str
) -> None:
    rig.know()
    rig.api.refuses["Job"] = (code, message)
    assert await rig.reconciler.reconcile(KEY) == 60
    said = rig.condition("Reconciling")
    assert (said["status"], said["reason"], message in said["message"]) == ("True", "PodsRefused", True)
    told = [made["reason"] for made in rig.api.stored.values() if made["kind"] == "Event"]
    assert "PodsRefused" in told


async def test_reports_for_a_job_that_has_become_invalid_do_not_keep_the_operator_busy(rig: Rig) -> None:
    """As after a rollback to a version that does not know a field of a job that runs."""
    started = {"startTime": "2026-01-01T12:00:00Z", "observedGeneration": 1}
    rig.know(spec={"novelty": True}, status=started)
    report = ProgressReport.from_json_object({"trainerStatus": {}, "finetune": {"step": 5}})
    rig.state.reports.submit(KEY, UID, 1, report)
    assert await rig.reconciler.reconcile(KEY) is None


async def test_a_spec_that_was_mended_before_the_start_is_what_is_trained(rig: Rig) -> None:
    """The first try has made its ConfigMap, and got no Job."""
    rig.api.refuses["Job"] = (403, 'jobs.batch "tune-1" is forbidden: exceeded quota: jobs')
    rig.know({"training": {"epochs": 3}})
    await rig.reconciler.reconcile(KEY)
    rig.api.refuses.clear()
    rig.know({"training": {"epochs": 5}})
    while not rig.state.jobs.of_job(KEY):
        assert await rig.reconciler.reconcile(KEY) is not None
    assert rig.epochs() == 5


async def test_what_a_rejected_attempt_left_is_removed(rig: Rig) -> None:
    rig.api.refuses["Job"] = (422, "spec.template.spec.priorityClassName: Invalid value")
    rig.know()
    await rig.reconciler.reconcile(KEY)
    assert rig.condition("Stalled")["status"] == "True"
    assert [found["kind"] for found in rig.api.stored.values() if found["kind"] == "ConfigMap"] == []


async def test_the_configmap_of_an_attempt_that_has_its_job_never_changes(rig: Rig) -> None:
    """As when an operator dies before it has written that the attempt has begun, and the job is edited."""
    rig.know({"training": {"epochs": 3}})
    await rig.reconciler.reconcile(KEY)
    [job] = rig.state.jobs.of_job(KEY)
    rig.state.jobs.forget("team", "tune-1", job.uid)
    rig.know({"training": {"epochs": 5}})
    await rig.reconciler.reconcile(KEY)
    assert rig.epochs() == 3


async def test_a_job_that_is_gone_is_forgotten(rig: Rig) -> None:
    report = ProgressReport.from_json_object({"trainerStatus": {}})
    rig.state.reports.submit(KEY, UID, 1, report)
    assert await rig.reconciler.reconcile(KEY) is None
    assert len(rig.state.reports) == 0
    assert rig.api.statuses == []


async def test_a_finished_job_with_words_of_a_newer_version_is_left_alone(rig: Rig) -> None:
    """As after a rollback of the operator: it must neither forget what was trained nor train again."""
    ended = {"type": "Complete", "status": "True", "reason": "Succeeded", "message": ""}
    status = {
        "startTime": "2026-01-01T12:00:00Z",
        "observedGeneration": 1,
        "phase": "Celebrating",
        "conditions": [{**ended, "observedGeneration": 1, "lastTransitionTime": "2026-01-01T12:00:00Z"}],
        "attempts": [{"number": 1, "outcome": "Succeeded", "reason": "FromTheFuture"}],
    }
    rig.know(status=status)
    assert await rig.reconciler.reconcile(KEY) is None
    assert (rig.api.statuses, rig.api.stored) == ([], {})
