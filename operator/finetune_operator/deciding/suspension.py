"""Policy: stopping an attempt on purpose: its user suspends or cancels the job, or its deadline has passed.

The attempt's Job is deleted in the foreground: the pods get a SIGTERM, the ranks save a checkpoint, and the
Job stays visible until the last pod is gone. Only then is the attempt over. One that succeeded or showed a
real failure in the meantime ends as that.
"""

from __future__ import annotations

from datetime import datetime

from finetune_api import ConditionType, FineTuneJob, FineTuneJobStatus, Reason
from finetune_operator.deciding.outcome import Ending
from finetune_operator.deciding.usage import active_seconds


def stop_reason(job: FineTuneJob, status: FineTuneJobStatus) -> Reason | None:
    """Why the running attempt has to end now, or has been told to end; None if it may go on.

    One of CANCELLED, DEADLINE_EXCEEDED and SUSPENDED: what ends the job for good comes first.

    A suspension that was asked for is carried through, even if the user has changed their mind since: the
    ranks are ending already.
    """
    if job.spec.cancel:
        return Reason.CANCELLED
    remaining = remaining_seconds(job, status)
    if remaining is not None and remaining <= 0:
        return Reason.DEADLINE_EXCEEDED
    if job.spec.suspend or _is_suspending(status):
        return Reason.SUSPENDED
    return None


def remaining_seconds(job: FineTuneJob, status: FineTuneJobStatus) -> int | None:
    """Seconds that the pods may still run, all attempts together; None without a deadline."""
    deadline = job.spec.failure_policy.active_deadline_seconds
    return None if deadline is None else deadline - active_seconds(status, job)


def deadline_message(job: FineTuneJob) -> str:
    """What the user reads when the deadline has ended the job."""
    limit = job.spec.failure_policy.active_deadline_seconds
    return (
        f"failurePolicy.activeDeadlineSeconds: the pods have run for {limit} s in all attempts together. "
        "The newest checkpoint is kept: a job with the same settings and the same checkpoints.storage "
        "resumes from it."
    )


def cancelled_message(status: FineTuneJobStatus) -> str:
    """What the user reads of a job that they have cancelled."""
    if not status.attempts:
        return "Cancelled before it started, because spec.cancel is true."
    step = status.progress.step if status.progress is not None else 0
    return (
        f"Cancelled at step {step}, because spec.cancel is true. The newest checkpoint is kept: a job with "
        "the same settings and the same checkpoints.storage resumes from it."
    )


def stopped(job: FineTuneJob, why: Reason, now: datetime) -> Ending:
    """How an attempt ended that was told to stop, unless the evidence says otherwise."""
    if why is Reason.DEADLINE_EXCEEDED:
        return Ending("Failed", why, deadline_message(job), now)
    if why is Reason.CANCELLED:
        return Ending("Cancelled", why, "", now)
    return Ending("Suspended", Reason.SUSPENDED, "", now)


def _is_suspending(status: FineTuneJobStatus) -> bool:
    reconciling = status.condition(ConditionType.RECONCILING)
    return (
        reconciling is not None and reconciling.status == "True" and reconciling.reason == Reason.SUSPENDING
    )
