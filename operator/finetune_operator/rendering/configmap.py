"""The ConfigMap of an attempt: the resolved job, and the authority that vouches for the status server."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

from finetune_api import FineTuneJob, ResolvedJob
from finetune_api.resolved import CA_FILE, JOB_FILE
from finetune_operator.plan import Manifest
from finetune_operator.rendering.config import RenderConfig
from finetune_operator.rendering.metadata import attempt_metadata


def render_configmap(job: FineTuneJob, attempt: int, resolved: ResolvedJob, config: RenderConfig) -> Manifest:
    """All that the trainer knows of the job, as data; immutable, as an attempt never changes."""
    document = resolved.to_json_object()
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": attempt_metadata(job, attempt),
        "immutable": True,
        "data": {
            PurePosixPath(JOB_FILE).name: json.dumps(
                document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False
            )
            + "\n",
            PurePosixPath(CA_FILE).name: config.ca_pem,
        },
    }
