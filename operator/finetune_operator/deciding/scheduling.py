"""Policy: what a running attempt is waiting for, as its Job and pods tell.

The most fundamental obstacle is named: the queue, then the scheduler, then the image, then the container,
then what only an event tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from finetune_api import FineTuneJob, Phase, Reason
from finetune_operator.observation import ObservedJob, ObservedPod
from finetune_operator.obstacles import Complaint

_IMAGE_REASONS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
_CONTAINER_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})


@dataclass(frozen=True, slots=True)
class Wait:
    """Why training has not begun."""

    phase: Phase
    reason: Reason
    message: str
    since: datetime | None = None
    """When the pod that can't start got its node, where one has."""


def waiting(
    job: FineTuneJob,
    child: ObservedJob | None,
    pods: Sequence[ObservedPod],
    complaints: Sequence[Complaint] = (),
) -> Wait | None:
    """What the attempt waits for, or None when all of its pods run."""
    live = [pod for pod in pods if not pod.ended]
    if child is not None and child.suspended:
        queue = job.spec.resources.queue_name
        whom = f"queue {queue}" if queue else "whoever has suspended it"
        return Wait(Phase.QUEUED, Reason.QUEUED, f"Job {child.name} waits to be admitted by {whom}.")
    for pod in live:
        if pod.scheduling_gated:
            return Wait(
                Phase.QUEUED, Reason.QUEUED, f"Pod {pod.name} waits for a scheduling gate to be removed."
            )
    for pod in live:
        if pod.unschedulable_message is not None:
            return Wait(Phase.PENDING, Reason.UNSCHEDULABLE, _unschedulable(job, pod.unschedulable_message))
    for pod in live:
        if pod.waiting_reason in _IMAGE_REASONS:
            return Wait(Phase.PENDING, Reason.IMAGE_PULL_FAILED, _image(pod), pod.scheduled_at)
    for pod in live:
        if pod.waiting_reason in _CONTAINER_REASONS:
            message = f"Pod {pod.name}: {pod.waiting_reason}: {pod.waiting_message}"
            return Wait(Phase.PENDING, Reason.POD_CONFIG_ERROR, message, pod.scheduled_at)
    for complaint in complaints:
        return _complained(complaint, live)
    wanted = job.spec.distributed.nodes
    running = sum(pod.running or pod.exit_code is not None for pod in pods)
    if running >= wanted:
        return None
    if not any(pod.node for pod in live):
        return Wait(Phase.PENDING, Reason.AWAITING_PODS, f"{_pods(wanted)} to be created and scheduled.")
    return Wait(Phase.STARTING, Reason.STARTING, f"{running} of {_pods(wanted)} started.")


def _complained(complaint: Complaint, live: Sequence[ObservedPod]) -> Wait:
    if complaint.kind == "Job":
        message = (
            f"Job {complaint.name} does not get all of its pods: {complaint.message.rstrip('. ')}. "
            "Kubernetes tries again by itself."
        )
        if "must specify limits.cpu" in complaint.message:
            message += (
                " A job sets no CPU limit: a LimitRange in the namespace can give its pods one, of at least "
                "resources.cpu."
            )
        return Wait(Phase.PENDING, Reason.PODS_REFUSED, message)
    message = f"Pod {complaint.name} does not start: {complaint.reason}: {complaint.message}"
    since = next((pod.scheduled_at for pod in live if pod.name == complaint.name), None)
    return Wait(Phase.PENDING, Reason.POD_CONFIG_ERROR, message, since)


def _unschedulable(job: FineTuneJob, scheduler_says: str) -> str:
    accelerators = job.spec.resources.accelerators
    says = scheduler_says.rstrip(". ")
    if "persistentvolumeclaim" in says.lower():
        return (
            f"No node can take a pod: {says}. Check the claims that the spec names (checkpoints.storage, "
            "output.storage, model.cache, dataset, resources.volumes) with `kubectl get pvc`."
        )
    if accelerators.per_node > 0:
        return (
            f"No node can take a pod: {says}. Each pod asks for {accelerators.per_node} "
            f"{accelerators.resource_name} (resources.accelerators): add such a node, check that its device "
            f"plugin advertises {accelerators.resource_name} (`kubectl describe nodes`), or lower perNode "
            "(0 trains on CPU)."
        )
    return (
        f"No node can take a pod: {says}. Each pod asks for cpu {job.spec.resources.cpu} and memory "
        f"{job.spec.resources.memory}: lower resources.cpu or resources.memory, or add a node."
    )


def _image(pod: ObservedPod) -> str:
    return (
        f"Pod {pod.name}: {pod.waiting_reason}: {pod.waiting_message.rstrip('. ')}. "
        "Check resources.image and resources.imagePullSecrets."
    )


def _pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count} pods"
