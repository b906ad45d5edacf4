"""Names that other programs may rely on: labels, annotations and the names of an attempt's objects."""

from __future__ import annotations

from finetune_api import base

GROUP = base.GROUP
JOB = f"{GROUP}/job"
JOB_UID = f"{GROUP}/job-uid"
ATTEMPT = f"{GROUP}/attempt"
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "finetune-operator"
QUEUE = "kueue.x-k8s.io/queue-name"
COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"

# What the operator watches: every object that it made, and no other.
SELECTOR = f"{MANAGED_BY}={MANAGER}"


def storage_claim_name(job: str) -> str:
    """The name of the claim that the operator makes for a job that gives a size instead of a claim."""
    return f"{job}-storage"
