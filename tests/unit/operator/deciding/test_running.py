"""An attempt whose traces are incomplete, early or gone."""

from __future__ import annotations

import pytest

from operator_scenes import (
    SUCCESS,
    Operator,
    at,
    child,
    complete,
    created_jobs,
    ended_pod,
    failed,
    make_job,
    pod,
    replace,
)


class TestLostMemory:
    def test_an_attempt_that_was_created_but_not_recorded_is_adopted(self) -> None:
        operator = Operator()
        plan = operator.see(20, [child()], [pod()])
        assert plan.apply == []
        assert operator.status.attempts[0].number == 1
        assert operator.status.start_time == at(0)

    def test_a_retry_that_was_created_but_not_recorded_counts_once(self) -> None:
        operator = Operator()
        operator.see(0)
        operator.see(101, [failed()], [ended_pod(1)])
        before = operator.job
        operator.see(111, [failed()])
        operator.job = before  # the status was never written
        operator.see(115, [failed(), child(2)], [pod(2)])
        assert operator.status.retries == 1
        assert [record.number for record in operator.status.attempts] == [1, 2]

    def test_a_job_that_is_not_visible_yet_is_created_again_under_the_same_name(self) -> None:
        operator = Operator()
        operator.see(0)
        assert created_jobs(operator.see(3)) == ["tune-1"]
        assert len(operator.status.attempts) == 1

    def test_a_job_that_never_became_visible_counts_as_lost(self) -> None:
        operator = Operator()
        operator.see(0)
        assert created_jobs(operator.see(31)) == []
        assert operator.status.attempts[0].outcome == "Lost"

    def test_the_end_of_an_attempt_is_read_from_what_is_left_of_it(self) -> None:
        operator = Operator()
        operator.see(0)
        operator.see(20, [child()], [pod()])
        operator.restart()
        operator.see(500, [complete()], [ended_pod(0, termination_message=SUCCESS)])
        assert operator.holds("Complete")
        assert operator.status.metrics == {"loss": "0.5"}


def test_a_queue_that_takes_the_pods_back_leaves_no_failure_behind() -> None:
    operator = Operator(make_job({"resources": {"queueName": "gold"}}))
    operator.see(0)
    operator.see(40, [child()], [pod()])
    operator.see(50, [child()], [ended_pod(20, deleting=True)])
    assert operator.status.attempts[0].reason == "Interrupted"
    operator.see(51, [child(suspended=True)])
    assert operator.status.phase == "Queued"
    assert operator.status.attempts[0].reason is None
    operator.see(90, [child()], [pod(started_at=at(85))])
    assert operator.status.phase == "Starting"
    assert operator.status.retries == 0


@pytest.mark.parametrize("cancel", [False, True])
def test_pods_that_a_deleted_job_has_left_behind_are_told_of_with_the_way_out(cancel: bool) -> None:
    """`kubectl delete job --cascade=orphan`: they go on for as long as the training takes."""
    operator = Operator()
    operator.see(0)
    operator.see(20, [child()], [pod()])
    if cancel:
        operator.edit(cancel=True)
    orphan = replace(pod(), job_uid=None)
    plan = operator.see(60, [], [orphan])
    assert (created_jobs(plan), plan.requeue_after) == ([], 5)
    assert "`kubectl delete pod tune-1-0-x`" in operator.message("Ready")
    assert operator.reason("Reconciling") == ("Cancelling" if cancel else "Interrupted")
    operator.see(90, [], [replace(orphan, deleting=True)])
    assert "kubectl delete pod" not in operator.message("Ready")
    operator.see(100, [], [replace(ended_pod(143), job_uid=None)])
    operator.see(101, [], [])
    assert operator.status.attempts[0].outcome == ("Cancelled" if cancel else "Lost")
    assert operator.holds("Failed") is cancel


def test_a_failure_shows_while_the_other_pods_are_still_being_stopped() -> None:
    operator = Operator(make_job({"distributed": {"nodes": 2}}))
    operator.see(0)
    operator.see(50, [child()], [ended_pod(13), pod(index=1, deleting=True)])
    assert operator.reason("Reconciling") == "Diverged"
    gone = failed(
        message="Container trainer for pod team/tune-1-1-x failed with exit code 21 matching FailJob rule"
    )
    operator.see(120, [gone])
    assert operator.reason("Failed") == "Diverged"


def test_an_attempt_that_is_taken_away_before_it_begins_is_not_said_to_train() -> None:
    operator = Operator()
    operator.see(0)
    evicted = pod(phase="Pending", started_at=None, disruption="EvictionByEvictionAPI", deleting=True)
    operator.see(5, [child()], [evicted])
    assert operator.reason("Reconciling") == "Preempted"
    assert "Training" not in operator.story
