"""Policy: which children are deleted, and when.

Ended pods stay with their logs until the FineTuneJob goes, which its ownerReferences see to, or until
`failurePolicy.ttlSecondsAfterFinished` has passed. Before that only the children of attempts that the status
has forgotten go. Volumes are never deleted, and neither is the FineTuneJob: whoever delivers manifests would
create it again, and train again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from finetune_api import FineTuneJob, FineTuneJobStatus
from finetune_api.resolved import attempt_name
from finetune_operator.observation import ObservedJob
from finetune_operator.plan import ObjectRef


def job_ref(child: ObservedJob) -> ObjectRef:
    """The Job as it was seen, and no other of that name."""
    return ObjectRef("batch/v1", "Job", child.name, child.uid)


def attempt_refs(job: FineTuneJob, attempt: int) -> list[ObjectRef]:
    """What belongs to an attempt beside its Job."""
    name = attempt_name(job.metadata.name, attempt)
    refs = [ObjectRef("v1", "ConfigMap", name)]
    if job.spec.distributed.nodes > 1:
        refs.append(ObjectRef("v1", "Service", name))
    return refs


def all_refs(job: FineTuneJob, children: Iterable[ObservedJob]) -> list[ObjectRef]:
    """Everything of these Jobs' attempts. The Job comes last: while it is there, the rest may be, too."""
    return [
        ref
        for child in children
        if not child.deleting
        for ref in (*attempt_refs(job, child.attempt), job_ref(child))
    ]


def unfinished(children: Iterable[ObservedJob]) -> list[ObservedJob]:
    """Jobs that still run or may start pods, and have not been told to end."""
    return [child for child in children if not child.finished and not child.deleting]


def forgotten(status: FineTuneJobStatus, children: Iterable[ObservedJob]) -> list[ObservedJob]:
    """Finished Jobs of attempts that are no longer in the status."""
    known = {record.number for record in status.attempts}
    oldest = min(known, default=0)
    return [child for child in children if child.attempt < oldest and child.finished]


def expiry(job: FineTuneJob, status: FineTuneJobStatus) -> datetime | None:
    """When the children of a finished job are due to go; None for never."""
    ttl = job.spec.failure_policy.ttl_seconds_after_finished
    if ttl is None or status.completion_time is None:
        return None
    return status.completion_time + timedelta(seconds=ttl)
