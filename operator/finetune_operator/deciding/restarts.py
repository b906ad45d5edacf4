"""Policy: whether an attempt that did not succeed is followed by another one, and when.

A failure uses up a retry, if a retry can help at all. Preemption, a lost node and suspension are not the
job's fault: they use up none and are always followed by another attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from finetune_api import AttemptStatus, ExitCode, Reason
from finetune_api.failure_policy import FailurePolicySpec

# Trying again gives the same answer.
FINAL_REASONS = frozenset(
    {code.reason for code in ExitCode if not code.retryable}
    | {Reason.DEADLINE_EXCEEDED, Reason.BUDGET_EXCEEDED}
) - {Reason.OUT_OF_MEMORY, Reason.SUCCEEDED}

_MAX_DOUBLINGS = 20


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Another attempt is due at `at`."""

    at: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The job has failed for good."""

    reason: Reason
    message: str


def after_attempt(
    attempts: Sequence[AttemptStatus], retries_used: int, policy: FailurePolicySpec
) -> TryAgain | GiveUp:
    """What follows the last of `attempts` (ordered, ended, not succeeded)."""
    last = attempts[-1]
    reason = last.reason or Reason.TRAINER_CRASHED
    message = last.message or ""
    if last.end_time is None:
        raise ValueError(f"attempt {last.number} has not ended")
    ended = last.end_time
    if last.outcome == "Suspended":
        return TryAgain(ended)
    if last.outcome in {"Preempted", "Lost"}:
        return TryAgain(ended + backoff(_fruitless(attempts), policy))
    if reason in FINAL_REASONS or (reason is Reason.OUT_OF_MEMORY and policy.out_of_memory != "retry"):
        return GiveUp(reason, message)
    if retries_used >= policy.max_retries:
        used = f"{retries_used} of {policy.max_retries} retries are used up"
        return GiveUp(Reason.RETRIES_EXHAUSTED, f"{used}. The last failure: {reason}: {message}")
    return TryAgain(ended + backoff(retries_used, policy))


def backoff(earlier: int, policy: FailurePolicySpec) -> timedelta:
    """How long to wait if the same has happened `earlier` times before: doubling, up to a limit."""
    seconds = policy.backoff_seconds * 2 ** min(earlier, _MAX_DOUBLINGS)
    return timedelta(seconds=min(seconds, policy.max_backoff_seconds))


def _fruitless(attempts: Sequence[AttemptStatus]) -> int:
    """How many attempts directly before the last one were taken away too, without having gained a step."""
    count = 0
    for record in reversed(attempts[:-1]):
        gained = (record.last_step or 0) > (record.resumed_step or 0)
        if record.outcome not in {"Preempted", "Lost"} or gained:
            break
        count += 1
    return count
