"""Policy: what an attempt has used, and how much of that was lost.

A pod counts from the start of its container to its end (or to now), once per rank and once per accelerator.
The figure of an attempt never falls, because a pod can vanish with its share. What the job has used is the
sum over its attempts, kept as a running total, because only the newest ten attempts stay in the status: each
change of an attempt's figure is added to the total once.

Wasted is what the next attempt has to do again: of an attempt that did not succeed, the share of its time
after its last complete checkpoint was committed, or all of it if it committed none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from finetune_api import AttemptStatus, FineTuneJob, FineTuneJobStatus
from finetune_api.job import processes_per_node
from finetune_api.status import UsageStatus
from finetune_operator.deciding.revision import revised
from finetune_operator.observation import ObservedPod


@dataclass(frozen=True, slots=True)
class Rates:
    """What one second of one pod counts."""

    ranks: int
    accelerators: int

    @classmethod
    def of(cls, job: FineTuneJob) -> Rates:
        """The rates of this job's pods."""
        return cls(processes_per_node(job.spec), job.spec.resources.accelerators.per_node)


def measured(
    record: AttemptStatus, pods: Sequence[ObservedPod], rates: Rates, now: datetime
) -> AttemptStatus:
    """The record with the seconds that its pods have used until now."""
    pod_seconds = sum(_seconds(pod, now) for pod in pods)
    return revised(
        record,
        rank_seconds=max(record.rank_seconds or 0, pod_seconds * rates.ranks),
        gpu_seconds=max(record.gpu_seconds or 0, pod_seconds * rates.accelerators),
    )


def accounted(
    status: FineTuneJobStatus, before: AttemptStatus | None, after: AttemptStatus
) -> FineTuneJobStatus:
    """`status` with the totals moved by what an attempt's record grew, and what was lost if it just ended."""
    total = status.usage or UsageStatus()
    ranks = _grown(before.rank_seconds if before else None, after.rank_seconds)
    gpus = _grown(before.gpu_seconds if before else None, after.gpu_seconds)
    just_ended = after.outcome != "Running" and (before is None or before.outcome == "Running")
    share = wasted_share(after, status) if just_ended else 0.0
    return revised(
        status,
        usage=revised(
            total,
            rank_seconds=total.rank_seconds + ranks,
            gpu_seconds=total.gpu_seconds + gpus,
            wasted_rank_seconds=total.wasted_rank_seconds + round(share * (after.rank_seconds or 0)),
            wasted_gpu_seconds=total.wasted_gpu_seconds + round(share * (after.gpu_seconds or 0)),
        ),
    )


def wasted_share(record: AttemptStatus, status: FineTuneJobStatus) -> float:
    """Which part of an ended attempt's time has to be done again, 0 to 1."""
    if record.outcome == "Succeeded" or record.start_time is None or record.end_time is None:
        return 0.0
    duration = (record.end_time - record.start_time).total_seconds()
    latest = status.checkpoints.latest if status.checkpoints else None
    if duration <= 0 or latest is None or not latest.complete:
        return 1.0
    committed = latest.time
    if committed is None or committed <= record.start_time:
        return _share_of_steps(record, latest.step)
    return min(1.0, max(0.0, (record.end_time - committed).total_seconds() / duration))


def _share_of_steps(record: AttemptStatus, saved: int) -> float:
    """Which part of an attempt's steps came after step `saved`; all of them where that is none of its own.

    For a checkpoint that seems older than the attempt: the clock of its node may be behind.
    """
    first, last = record.resumed_step or 0, record.last_step or 0
    return (last - saved) / (last - first) if first < saved <= last else 1.0


def active_seconds(status: FineTuneJobStatus, job: FineTuneJob) -> int:
    """How long the pods of all attempts have run together, in seconds of one pod."""
    used = status.usage.rank_seconds if status.usage else 0
    return used // (job.spec.distributed.nodes * processes_per_node(job.spec))


def _seconds(pod: ObservedPod, now: datetime) -> int:
    since = pod.started_at if pod.finished_at is not None else pod.running_since(now)
    return max(0, int(((pod.finished_at or now) - since).total_seconds())) if since is not None else 0


def _grown(before: int | None, after: int | None) -> int:
    return max(0, (after or 0) - (before or 0))
