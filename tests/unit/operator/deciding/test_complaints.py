"""When events are asked for, and what they mean."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_operator.deciding.complaints import (
    LATEST_SECONDS,
    SOONEST_SECONDS,
    Subject,
    has_waited,
    last_word,
    patience,
    unexplained,
)
from finetune_operator.obstacles import Complaint
from operator_scenes import Operator, at, child, complete, pod, stamp

STUCK: dict[str, Any] = {"phase": "Pending", "started_at": None, "waiting_reason": "ContainerCreating"}
JOB = Subject("Job", "tune-1")


def event(
    type_: str, reason: str, seconds: float, note: str = "why", uid: str = "job-1", **fields: Any
) -> dict[str, Any]:
    return {
        "metadata": {"name": "tune-1.17", "creationTimestamp": stamp(0)},
        "type": type_,
        "reason": reason,
        "note": note,
        "regarding": {"kind": "Job", "name": "tune-1", "uid": uid},
        "deprecatedLastTimestamp": stamp(seconds),
        **fields,
    }


def test_a_job_without_all_of_its_pods_is_unexplained() -> None:
    assert unexplained(child(), [], 1) == (JOB,)
    assert unexplained(child(), [pod()], 2) == (JOB,)


def test_a_pod_that_has_a_node_and_says_nothing_is_unexplained() -> None:
    stuck = pod(**STUCK)
    assert unexplained(child(), [stuck], 1) == (Subject("Pod", stuck.name),)


@pytest.mark.parametrize(
    "said",
    [
        {"phase": "Running"},
        {"phase": "Pending", "node": None, "unschedulable_message": "0/1 nodes"},
        {**STUCK, "waiting_reason": "ImagePullBackOff"},
        {**STUCK, "deleting": True},
    ],
)
def test_a_pod_that_runs_or_speaks_for_itself_is_not(said: dict[str, Any]) -> None:
    assert unexplained(child(), [pod(**said)], 1) == ()


def test_nobody_is_asked_about_a_job_that_is_queued_or_over() -> None:
    for quiet in (child(suspended=True), child(deleting=True), complete()):
        assert unexplained(quiet, [], 1) == ()


def test_the_longer_an_attempt_has_waited_the_less_often_events_are_asked_for() -> None:
    started = child(created_at=at(0), started_at=at(5))
    waits = [patience(started, at(5 + waited)) for waited in (0, 9, 60, 3600)]
    assert waits == [SOONEST_SECONDS, SOONEST_SECONDS, 60, LATEST_SECONDS]
    assert not has_waited(started, at(14))
    assert has_waited(started, at(15))


def test_the_last_word_counts_if_it_is_a_warning() -> None:
    refused = event("Warning", "FailedCreate", 20, "exceeded quota")
    assert last_word(JOB, [event("Normal", "Created", 10), refused]) == Complaint(
        "Job", "tune-1", "FailedCreate", "exceeded quota"
    )


def test_what_came_after_a_warning_has_overcome_it() -> None:
    assert last_word(JOB, [event("Warning", "FailedMount", 10), event("Normal", "Pulling", 20)]) is None
    assert last_word(JOB, []) is None


def test_in_the_same_second_the_warning_is_the_newer_one() -> None:
    told = [event("Warning", "FailedMount", 10), event("Normal", "Scheduled", 10)]
    assert last_word(JOB, told) is not None


@pytest.mark.parametrize(
    "time",
    [
        {"series": {"count": 3, "lastObservedTime": "2026-01-01T12:01:00.000000Z"}},
        {"eventTime": "2026-01-01T12:01:00.123456Z", "deprecatedLastTimestamp": None},
    ],
)
def test_new_events_say_their_time_in_other_fields(time: dict[str, Any]) -> None:
    assert last_word(JOB, [event("Normal", "Pulling", 20), event("Warning", "FailedMount", 0, **time)])


def test_events_about_an_earlier_job_of_that_name_do_not_count() -> None:
    assert last_word(JOB, [event("Warning", "FailedCreate", 10, uid="earlier")], uid="job-1") is None


def test_a_job_that_waits_without_a_word_is_looked_at_again() -> None:
    operator = Operator()
    operator.see(0)
    plan = operator.see(40, jobs=[child(created_at=at(0))])
    assert plan.requeue_after == 40
    assert operator.see(50, jobs=[child(created_at=at(0))], pods=[pod()]).requeue_after is None
