"""The Indexed Job that runs all pods of one attempt, once."""

from __future__ import annotations

from finetune_api import FineTuneJob
from finetune_operator import labels
from finetune_operator.plan import Manifest
from finetune_operator.rendering.metadata import attempt_metadata

# Ranks fail together: whatever ends one pod ends the Job, and the next attempt starts them all. The condition
# comes first, as it says more than the exit code of a process that was told to stop.
_FAIL_TOGETHER: Manifest = {
    "rules": [
        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": "trainer", "operator": "NotIn", "values": [0]},
        },
    ]
}


def render_job(job: FineTuneJob, attempt: int, nodes: int, pod_template: Manifest) -> Manifest:
    """One pod per node, all or nothing, never replaced.

    No `ttlSecondsAfterFinished` and no `activeDeadlineSeconds` here: the operator must have read the outcome
    before the Job goes, and deadlines may change while it runs. `suspend` is left alone; it is the queue's.
    """
    metadata = attempt_metadata(job, attempt)
    queue = job.spec.resources.queue_name
    if queue:
        metadata["labels"] = {**metadata["labels"], labels.QUEUE: queue}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "backoffLimit": 0,
            "completionMode": "Indexed",
            "completions": nodes,
            "parallelism": nodes,
            "podFailurePolicy": _FAIL_TOGETHER,
            "podReplacementPolicy": "Failed",
            "template": pod_template,
        },
    }
