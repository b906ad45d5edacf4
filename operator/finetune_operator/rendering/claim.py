"""The storage claim of a job that asks for a size instead of naming a claim."""

from __future__ import annotations

from finetune_api import FineTuneJob
from finetune_operator import labels
from finetune_operator.plan import Manifest


def render_claim(job: FineTuneJob) -> Manifest:
    """A claim without an owner: what was trained outlives the job, and is deleted by people only."""
    storage = job.spec.checkpoints.storage
    spec: Manifest = {
        "accessModes": list(storage.access_modes),
        "resources": {"requests": {"storage": storage.size}},
    }
    if storage.storage_class_name is not None:
        spec["storageClassName"] = storage.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": labels.storage_claim_name(job.metadata.name),
            "namespace": job.metadata.namespace,
            "labels": {labels.JOB: job.metadata.name, labels.MANAGED_BY: labels.MANAGER},
        },
        "spec": spec,
    }
