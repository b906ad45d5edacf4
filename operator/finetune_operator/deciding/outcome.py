"""Policy: how an attempt ended, and why. What the witnesses of a failure say is in `evidence`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from finetune_api import Reason, TrainingResult
from finetune_operator.deciding.evidence import (
    Evidence,
    Outcome,
    Weight,
    clearest,
    failures,
    from_result,
    job_evidence,
    names_one_of,
)
from finetune_operator.observation import CLOCKS_DIFFER, ObservedJob, ObservedPod

# The watches on Jobs and on pods are separate streams: a finished Job may be seen before the end of its last
# pod.
EVIDENCE_DELAY = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of an attempt. `result` is the trainer's own word, when there is one."""

    outcome: Outcome
    reason: Reason
    message: str
    ended_at: datetime
    exit_code: int | None = None
    result: TrainingResult | None = None


def ending(
    child: ObservedJob,
    pods: Sequence[ObservedPod],
    reported: TrainingResult | None,
    remembered: Evidence | None,
    *,
    own_command: bool,
    now: datetime,
) -> Ending | None:
    """How the attempt of `child` ended, or None while it is not over or not yet understood.

    `pods` are the attempt's, `reported` is the newest result that the trainer sent to the status server,
    `remembered` what `clearest` found earlier. With `own_command` the pods run a user's program, whose exit
    codes mean nothing but success and failure.
    """
    if not child.finished:
        return None
    finished_at = _finished_at(child, now)
    more_may_come = now < finished_at + EVIDENCE_DELAY
    if more_may_come and not all(pod.ended for pod in pods):
        return None
    result = final_result(pods, reported)
    # The Job controller sees soon that a pod has ended; by more, the clock of a node is behind.
    ended_at = max(last_end(pods, finished_at), finished_at - CLOCKS_DIFFER)
    if child.complete:
        if result is None and not own_command and more_may_come:
            return None
        if result is not None and result.outcome != "succeeded":
            return from_evidence(from_result(result, ended_at), result, ended_at)
        if result is None and not own_command:
            return Ending("Failed", Reason.TRAINER_CRASHED, _NO_RESULT, ended_at)
        return succeeded(result, ended_at)
    witnesses = failures(pods, reported, own_command=own_command, at=finished_at)
    if remembered is not None:
        witnesses.append(remembered)
    hearsay = job_evidence(child, finished_at, own_command=own_command)
    first_hand = names_one_of(child, pods) or any(w.exit_code == hearsay.exit_code for w in witnesses)
    if not witnesses or not first_hand:
        witnesses.append(hearsay)
    return from_evidence(clearest(witnesses), result, ended_at)


def without_job(
    otherwise: Ending,
    pods: Sequence[ObservedPod],
    reported: TrainingResult | None,
    remembered: Evidence | None,
    *,
    own_command: bool,
) -> Ending:
    """How an attempt ended whose Job is gone, so that its controller can't say it any more.

    A success that the trainer reported counts, and so does a verdict; else the attempt ended as `otherwise`
    says.
    """
    result = final_result(pods, reported)
    ended_at = last_end(pods, otherwise.ended_at)
    if result is not None and result.outcome == "succeeded":
        return succeeded(result, ended_at)
    witnesses = failures(pods, reported, own_command=own_command, at=ended_at)
    if remembered is not None:
        witnesses.append(remembered)
    if witnesses and (cause := clearest(witnesses)).weight is Weight.VERDICT:
        return from_evidence(cause, result, ended_at)
    return replace(otherwise, ended_at=ended_at, result=result)


_NO_RESULT = (
    "All pods ended without an error, but none left a result: its termination message is gone or unreadable. "
    "The next attempt resumes from the newest checkpoint."
)


def succeeded(result: TrainingResult | None, ended_at: datetime) -> Ending:
    """The end of an attempt that did all it had to."""
    message = result.message if result is not None else ""
    return Ending("Succeeded", Reason.SUCCEEDED, message, ended_at, exit_code=0, result=result)


def from_evidence(cause: Evidence, result: TrainingResult | None, ended_at: datetime) -> Ending:
    """The end of an attempt for this cause."""
    return Ending(cause.outcome, cause.reason, cause.message, ended_at, cause.exit_code, result)


def final_result(pods: Sequence[ObservedPod], reported: TrainingResult | None) -> TrainingResult | None:
    """The attempt's result: node 0 writes the full one; then what was reported; then any other node's."""
    results = {
        pod.index: result
        for pod in pods
        if (result := TrainingResult.from_termination_message(pod.termination_message)) is not None
    }
    return results.get(0) or reported or next(iter(results.values()), None)


def last_end(pods: Sequence[ObservedPod], known: datetime) -> datetime:
    """When the last of these pods ended; `known`, when that was known, where no pod tells, or one by a clock
    that is ahead."""
    ends = (pod.finished_at for pod in pods if pod.finished_at is not None)
    return min(max(ends, default=known), known)


def _finished_at(child: ObservedJob, now: datetime) -> datetime:
    failure = child.failure
    return child.completed_at or (failure.changed_at if failure is not None else None) or now
