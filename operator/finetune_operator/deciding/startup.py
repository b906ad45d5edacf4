"""Policy: how long an attempt may hold its nodes without starting.

A pod without a node waits for one at nobody's expense, and so does a Job in a queue. A pod that has a node
and can't start, because its image can't be pulled or its container can't be made, keeps the node's devices
from everybody: after a while the attempt fails, its pods go, and what `restarts` says follows.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from finetune_api import AttemptStatus, FineTuneJob, Reason
from finetune_operator.deciding.evidence import Evidence
from finetune_operator.deciding.scheduling import Wait

REASONS = frozenset({Reason.IMAGE_PULL_FAILED, Reason.POD_CONFIG_ERROR})


def limit(job: FineTuneJob, wait: Wait | None) -> datetime | None:
    """When an attempt that waits like this has waited for too long; None if it may wait for ever."""
    if wait is None or wait.reason not in REASONS or wait.since is None:
        return None
    return wait.since + timedelta(seconds=job.spec.failure_policy.start_timeout_seconds)


def given_up(job: FineTuneJob, wait: Wait | None, now: datetime) -> list[Evidence]:
    """Why the attempt has failed, once it has waited for too long; else nothing."""
    until = limit(job, wait)
    if wait is None or until is None or now < until:
        return []
    seconds = job.spec.failure_policy.start_timeout_seconds
    message = f"failurePolicy.startTimeoutSeconds: not started within {seconds} s on its node. {wait.message}"
    return [Evidence(wait.reason, message, None, now)]


def is_given_up(record: AttemptStatus) -> bool:
    """Whether the record of a running attempt says that it was given up."""
    return record.outcome == "Running" and record.reason in REASONS
