"""The metadata that every object of a job carries."""

from __future__ import annotations

from finetune_api import FineTuneJob
from finetune_api.resolved import attempt_name
from finetune_operator import labels
from finetune_operator.plan import Manifest


def job_labels(job: FineTuneJob) -> dict[str, str]:
    """What says whose an object is. The UID tells a job from an earlier one of the same name."""
    return {
        labels.JOB: job.metadata.name,
        labels.JOB_UID: job.metadata.uid,
        labels.MANAGED_BY: labels.MANAGER,
    }


def attempt_labels(job: FineTuneJob, attempt: int) -> dict[str, str]:
    """The job's labels and the attempt's number."""
    return {**job_labels(job), labels.ATTEMPT: str(attempt)}


def attempt_metadata(job: FineTuneJob, attempt: int) -> Manifest:
    """Metadata of an object of one attempt: it goes when the FineTuneJob goes, without a finalizer."""
    return {
        "name": attempt_name(job.metadata.name, attempt),
        "namespace": job.metadata.namespace,
        "labels": attempt_labels(job, attempt),
        "ownerReferences": [owner_reference(job)],
    }


def owner_reference(job: FineTuneJob) -> Manifest:
    """`job` as the controller of an object; deleting it in the foreground waits for the object."""
    return {
        "apiVersion": job.api_version,
        "kind": job.kind,
        "name": job.metadata.name,
        "uid": job.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
