"""Whether and when another attempt follows."""

from __future__ import annotations

from datetime import timedelta

import pytest

from finetune_api import AttemptStatus, ExitCode
from finetune_api.conditions import Reason
from finetune_api.failure_policy import FailurePolicySpec
from finetune_operator.deciding.restarts import GiveUp, TryAgain, after_attempt, backoff
from operator_scenes import at

POLICY = FailurePolicySpec(max_retries=2, backoff_seconds=10, max_backoff_seconds=60)


def ended(outcome: str, reason: Reason, number: int = 1, **facts: object) -> AttemptStatus:
    return AttemptStatus(
        number=number,
        start_time=at(0),
        end_time=at(100),
        outcome=outcome,
        reason=reason,
        message="why",
        **facts,
    )


@pytest.mark.parametrize("code", [code for code in ExitCode if code != ExitCode.SUCCEEDED])
def test_a_failure_is_retried_exactly_if_that_can_help(code: ExitCode) -> None:
    following = after_attempt([ended("Failed", code.reason)], 0, POLICY)
    assert isinstance(following, TryAgain) == code.retryable


def test_running_out_of_memory_is_retried_if_the_policy_says_so() -> None:
    attempt = ended("Failed", Reason.OUT_OF_MEMORY)
    assert after_attempt([attempt], 0, POLICY) == GiveUp(Reason.OUT_OF_MEMORY, "why")
    retry = FailurePolicySpec(out_of_memory="retry")
    assert isinstance(after_attempt([attempt], 0, retry), TryAgain)


def test_a_deadline_is_final() -> None:
    following = after_attempt([ended("Failed", Reason.DEADLINE_EXCEEDED)], 0, POLICY)
    assert following == GiveUp(Reason.DEADLINE_EXCEEDED, "why")


def test_the_last_failure_is_named_when_the_retries_are_used_up() -> None:
    following = after_attempt([ended("Failed", Reason.TRAINER_CRASHED)], 2, POLICY)
    assert isinstance(following, GiveUp)
    assert following.reason is Reason.RETRIES_EXHAUSTED
    assert "2 of 2" in following.message
    assert "TrainerCrashed: why" in following.message


def test_the_wait_doubles_up_to_its_limit() -> None:
    waits = [backoff(earlier, POLICY).total_seconds() for earlier in range(5)]
    assert waits == [10, 20, 40, 60, 60]
    assert backoff(10**9, POLICY) == timedelta(seconds=60)


def test_the_wait_counts_from_the_end_of_the_attempt() -> None:
    assert after_attempt([ended("Failed", Reason.STORAGE_ERROR)], 1, POLICY) == TryAgain(at(120))


def test_a_suspended_attempt_goes_on_at_once() -> None:
    assert after_attempt([ended("Suspended", Reason.SUSPENDED)], 2, POLICY) == TryAgain(at(100))


@pytest.mark.parametrize(("outcome", "reason"), [("Preempted", Reason.PREEMPTED), ("Lost", Reason.NODE_LOST)])
def test_what_is_not_the_jobs_fault_is_always_followed_by_another_attempt(
    outcome: str, reason: Reason
) -> None:
    assert after_attempt([ended(outcome, reason)], 2, POLICY) == TryAgain(at(110))


def test_attempts_that_are_taken_away_without_a_step_wait_ever_longer() -> None:
    taken = [ended("Preempted", Reason.PREEMPTED, number) for number in (1, 2, 3)]
    assert after_attempt(taken, 0, POLICY) == TryAgain(at(140))
    gained = ended("Preempted", Reason.PREEMPTED, 2, resumed_step=10, last_step=20)
    assert after_attempt([taken[0], gained, taken[2]], 0, POLICY) == TryAgain(at(110))


def test_an_attempt_that_runs_has_no_successor() -> None:
    with pytest.raises(ValueError, match="attempt 1 has not ended"):
        after_attempt([AttemptStatus(number=1, start_time=at(0))], 0, POLICY)
