"""The pod template of an attempt: one trainer container, and nothing that it does not need."""

from __future__ import annotations

from finetune_api import FineTuneJob
from finetune_api.resolved import JOB_FILE, attempt_name
from finetune_api.resources import ResourcesSpec
from finetune_operator.observation import TRAINER_CONTAINER
from finetune_operator.plan import Manifest
from finetune_operator.rendering.config import RenderConfig
from finetune_operator.rendering.environment import environment
from finetune_operator.rendering.escape import literal
from finetune_operator.rendering.metadata import attempt_labels
from finetune_operator.rendering.security import container_security_context, pod_security_context
from finetune_operator.rendering.volumes import SCRATCH_MOUNT, mounted_volumes

_TRAINER_COMMAND = ["python", "-m", "finetune_trainer", "launch", "--job", JOB_FILE]

# Moving a training pod to save a node costs more than the node: autoscalers are asked to leave it where it
# is.
_STAY = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}


def render_pod_template(job: FineTuneJob, attempt: int, config: RenderConfig) -> Manifest:
    """The template from which the Job controller makes one pod per node."""
    resources = job.spec.resources
    volumes = mounted_volumes(job, attempt, config)
    spec: Manifest = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": job.spec.failure_policy.grace_period_seconds,
        "securityContext": pod_security_context(),
        **_scheduling(resources),
        "containers": [
            {
                "name": TRAINER_CONTAINER,
                "image": resources.image or config.trainer_image,
                "imagePullPolicy": resources.image_pull_policy,
                "command": [literal(word) for word in resources.command or _TRAINER_COMMAND],
                "workingDir": SCRATCH_MOUNT,
                "env": environment(job, attempt, config),
                "resources": _device_resources(resources),
                "securityContext": container_security_context(),
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "volumeMounts": [volume.mount for volume in volumes],
            }
        ],
        "volumes": [volume.volume for volume in volumes],
    }
    if job.spec.distributed.nodes > 1:
        spec["subdomain"] = attempt_name(job.metadata.name, attempt)
    pull_secrets = [reference.name for reference in resources.image_pull_secrets]
    if pull_secrets or config.image_pull_secrets:
        names = dict.fromkeys([*pull_secrets, *config.image_pull_secrets])
        spec["imagePullSecrets"] = [{"name": name} for name in names]
    return {
        "metadata": {"labels": attempt_labels(job, attempt), "annotations": dict(_STAY)},
        "spec": spec,
    }


def _device_resources(resources: ResourcesSpec) -> Manifest:
    """Memory is limited to what is requested, for the neighbours' sake; idle CPU cores may be borrowed."""
    requests = {"cpu": resources.cpu, "memory": resources.memory}
    limits = {"memory": resources.memory}
    if resources.accelerators.per_node > 0:
        count = str(resources.accelerators.per_node)
        requests[resources.accelerators.resource_name] = count
        limits[resources.accelerators.resource_name] = count
    return {"requests": requests, "limits": limits}


def _scheduling(resources: ResourcesSpec) -> Manifest:
    placement: Manifest = {}
    if resources.node_selector:
        placement["nodeSelector"] = dict(resources.node_selector)
    if resources.tolerations:
        placement["tolerations"] = [toleration.to_json_object() for toleration in resources.tolerations]
    if resources.affinity is not None:
        placement["affinity"] = resources.affinity.to_json_object()
    names = {
        "priorityClassName": resources.priority_class_name,
        "serviceAccountName": resources.service_account_name,
        "schedulerName": resources.scheduler_name,
        "runtimeClassName": resources.runtime_class_name,
    }
    return placement | {field: name for field, name in names.items() if name is not None}
