"""All objects of one attempt, in the order in which they have to be created."""

from __future__ import annotations

from finetune_api import FineTuneJob
from finetune_api.resolved import AppliedPreset, resolve
from finetune_operator.plan import Manifest
from finetune_operator.rendering.claim import render_claim
from finetune_operator.rendering.config import RenderConfig
from finetune_operator.rendering.configmap import render_configmap
from finetune_operator.rendering.job import render_job
from finetune_operator.rendering.pod import render_pod_template
from finetune_operator.rendering.service import render_service


def render_attempt(
    job: FineTuneJob, attempt: int, config: RenderConfig, preset: AppliedPreset | None = None
) -> list[Manifest]:
    """What an attempt consists of; the Job comes last, so that all it needs is there before its pods.

    The values of `preset` are in the job's spec; the attempt records it, for the attempts that follow.
    """
    resolved = resolve(config.hardware.decided(job), attempt, preset=preset)
    objects = [render_configmap(job, attempt, resolved, config)]
    if job.spec.checkpoints.storage.creates_claim:
        objects.insert(0, render_claim(job))
    if resolved.nodes > 1:
        objects.append(render_service(job, attempt))
    objects.append(render_job(job, attempt, resolved.nodes, render_pod_template(job, attempt, config)))
    return objects
