"""Attempts that end because they were told to: cancelled, suspended, or past their deadline."""

from __future__ import annotations

from finetune_api.conditions import Reason
from operator_scenes import (
    SUCCESS,
    Operator,
    checkpoint,
    child,
    complete,
    created_jobs,
    deleted,
    ended_pod,
    failed,
    make_job,
    pod,
    report,
    result,
)


class TestCancellation:
    def cancelled(self) -> Operator:
        """A job that trains, and is told to end for good."""
        operator = Operator()
        operator.see(0)
        operator.see(50, [child()], [pod()], {1: report(60, 49, checkpoints=checkpoint(50, 40))})
        operator.edit(cancel=True)
        return operator

    def test_saves_ends_and_is_never_tried_again(self) -> None:
        operator = self.cancelled()
        plan = operator.see(60, [child()], [pod()], {1: report(60, 49)})
        assert deleted(plan) == ["Job/tune-1"], "the pods get a SIGTERM, as when the job is suspended"
        assert (operator.status.phase, operator.reason("Reconciling")) == ("Cancelling", "Cancelling")
        told = report(64, 65, result=result("interrupted", Reason.INTERRUPTED, 20, step=64).to_json_object())
        operator.see(66, [child(deleting=True)], [ended_pod(20, seconds=65, deleting=True)], {1: told})
        assert operator.status.phase == "Cancelling", "its Job is still there"
        operator.see(67, [], [], {1: told})
        assert operator.status.phase == "Cancelled"
        assert operator.reason("Failed") == operator.reason("Stalled") == "Cancelled"
        assert "Cancelled at step 64" in operator.message("Failed")
        assert operator.status.completion_time is not None
        assert [record.outcome for record in operator.status.attempts] == ["Cancelled"]
        assert created_jobs(operator.see(5000)) == []
        assert operator.status.retries == 0
        assert operator.story[-2:] == ["Cancelling", "Cancelled"]

    def test_before_the_start_starts_nothing(self) -> None:
        operator = Operator(make_job({"cancel": True}))
        assert operator.see(0).apply == []
        assert operator.status.phase == "Cancelled"
        assert operator.message("Failed") == "Cancelled before it started, because spec.cancel is true."

    def test_ends_a_suspended_job(self) -> None:
        operator = Operator()
        operator.see(0)
        operator.edit(suspend=True)
        operator.see(60, [child()], [pod()])
        operator.see(67, [], [])
        assert operator.status.phase == "Suspended"
        operator.edit(cancel=True)
        operator.see(70)
        assert operator.status.phase == "Cancelled"

    def test_ends_a_job_that_waits_for_its_next_attempt(self) -> None:
        operator = Operator()
        operator.see(0)
        operator.see(101, [failed()], [ended_pod(1)])
        operator.edit(cancel=True)
        assert operator.see(9000, [failed()], [ended_pod(1)]).apply == []
        assert operator.status.phase == "Cancelled"

    def test_a_job_that_was_done_before_it_was_told_has_succeeded(self) -> None:
        operator = self.cancelled()
        operator.see(101, [complete()], [ended_pod(0, termination_message=SUCCESS)])
        assert operator.status.phase == "Succeeded"

    def test_what_really_went_wrong_stays_on_record(self) -> None:
        operator = self.cancelled()
        operator.see(60, [child()], [pod()])
        operator.see(66, [failed(seconds=65, deleting=True)], [ended_pod(12, seconds=65, deleting=True)])
        operator.see(67, [], [])
        assert operator.status.attempts[0].reason == "OutOfMemory"
        assert operator.status.phase == "Cancelled"


class TestSuspension:
    def test_saves_ends_and_goes_on_without_using_up_a_retry(self) -> None:
        operator = Operator()
        operator.see(0)
        operator.see(50, [child()], [pod()], {1: report(60, 49)})
        operator.edit(suspend=True)
        plan = operator.see(60, [child()], [pod()], {1: report(60, 49)})
        assert deleted(plan) == ["Job/tune-1"]
        assert operator.status.phase == "Suspending"
        told = report(64, 65, result=result("interrupted", Reason.INTERRUPTED, 20, step=64).to_json_object())
        operator.see(66, [child(deleting=True)], [ended_pod(20, seconds=65, deleting=True)], {1: told})
        assert operator.status.phase == "Suspending"
        operator.see(67, [], [], {1: told})
        assert operator.status.phase == "Suspended"
        assert operator.holds("Suspended")
        assert not operator.holds("Reconciling")
        assert operator.status.attempts[0].outcome == "Suspended"
        assert operator.status.attempts[0].last_step == 64
        assert created_jobs(operator.see(1000)) == []
        operator.edit(suspend=False)
        assert created_jobs(operator.see(1001)) == ["tune-2"]
        assert not operator.holds("Suspended")
        assert operator.status.retries == 0
        assert operator.story[-3:] == ["Suspending", "Suspended", "Resumed"]

    def test_is_what_it_was_though_the_job_controller_calls_the_job_failed_first(self) -> None:
        operator = Operator()
        operator.see(0)
        operator.see(50, [child()], [pod()])
        operator.edit(suspend=True)
        operator.see(60, [child()], [pod()])
        stopped = ended_pod(20, seconds=65, deleting=True)
        operator.see(66, [failed(seconds=65, deleting=True)], [stopped])
        assert operator.status.phase == "Suspending", "its pods are still there"
        operator.see(67, [], [stopped])
        assert operator.status.phase == "Suspending", "its pods are still there"
        operator.see(68, [], [])
        assert operator.status.attempts[0].outcome == "Suspended"
        assert operator.status.phase == "Suspended"
        assert operator.status.retries == 0

    def test_before_the_start_starts_nothing(self) -> None:
        operator = Operator(make_job({"suspend": True}))
        assert operator.see(0).apply == []
        assert operator.holds("Suspended")
        assert operator.status.start_time is None
        operator.edit(suspend=False)
        assert created_jobs(operator.see(5)) == ["tune-1"]

    def test_is_carried_through_when_the_user_changes_their_mind(self) -> None:
        operator = Operator()
        operator.see(0)
        operator.edit(suspend=True)
        operator.see(20, [child()], [pod()])
        operator.edit(suspend=False)
        operator.see(21, [child(deleting=True)], [pod(deleting=True)])
        assert operator.status.phase == "Suspending"
        operator.see(30)
        assert operator.status.attempts[0].outcome == "Suspended"
        assert created_jobs(operator.see(31)) == ["tune-2"]
        assert operator.status.retries == 0

    def test_of_an_attempt_that_has_just_succeeded_completes_the_job(self) -> None:
        operator = Operator()
        operator.see(0)
        operator.edit(suspend=True)
        operator.see(101, [complete()], [ended_pod(0, termination_message=SUCCESS)])
        assert operator.holds("Complete")
        assert not operator.holds("Suspended")

    def test_of_an_attempt_that_succeeds_while_it_is_stopped_completes_the_job(self) -> None:
        operator = Operator()
        operator.see(0)
        operator.edit(suspend=True)
        operator.see(90, [child()], [pod()])
        operator.see(101, [child(deleting=True)], [ended_pod(0, termination_message=SUCCESS)])
        operator.see(102, [], [ended_pod(0, termination_message=SUCCESS)])
        assert operator.holds("Complete")

    def test_does_not_hide_a_real_failure(self) -> None:
        operator = Operator()
        operator.see(0)
        operator.edit(suspend=True)
        operator.see(90, [child()], [pod()])
        operator.see(95, [child(deleting=True)], [ended_pod(11)])
        operator.see(102)
        assert operator.reason("Failed") == "DataError"


class TestDeadline:
    job = make_job({"failurePolicy": {"activeDeadlineSeconds": 60}})

    def test_ends_the_job_when_its_pods_have_run_that_long(self) -> None:
        operator = Operator(self.job)
        operator.see(0)
        assert operator.see(40, [child()], [pod()]).requeue_after == 30
        assert deleted(operator.see(70, [child()], [pod()])) == ["Job/tune-1"]
        operator.see(75)
        assert operator.reason("Failed") == "DeadlineExceeded"

    def test_does_not_count_the_time_in_the_queue(self) -> None:
        operator = Operator(self.job)
        operator.see(0)
        plan = operator.see(5000, [child(suspended=True)])
        assert plan.delete == []
        assert operator.status.phase == "Queued"
