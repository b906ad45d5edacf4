"""The headless Service that gives the pods of a multi-node attempt their DNS names."""

from __future__ import annotations

from finetune_api import FineTuneJob
from finetune_api.resolved import MASTER_PORT
from finetune_operator import labels
from finetune_operator.plan import Manifest
from finetune_operator.rendering.metadata import attempt_metadata


def render_service(job: FineTuneJob, attempt: int) -> Manifest:
    """Names are published before pods are ready: ranks look each other up in order to become ready."""
    metadata = attempt_metadata(job, attempt)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {labels.JOB_UID: job.metadata.uid, labels.ATTEMPT: str(attempt)},
            "ports": [{"name": "rendezvous", "port": MASTER_PORT, "protocol": "TCP"}],
        },
    }
