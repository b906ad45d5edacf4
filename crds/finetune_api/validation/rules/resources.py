"""Rules about `spec.resources`: what reaches the pods must be safe there."""

import re
from collections.abc import Iterator
from typing import Final

from finetune_api.job import FineTuneJob
from finetune_api.kubernetes import VALUE_OR_SOURCE, VOLUME_SOURCES, EnvVar, Volume
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, broken, error, suggestion, warning
from finetune_api.validation.rules.common import (
    absolute_path,
    exactly_one,
    inside,
    quantity,
    relative_path,
)
from finetune_api.validation.rules.scheduling import scheduling

RESERVED_PATHS: Final = (
    "/etc/finetune",
    "/var/run/secrets/finetune",
    "/run/secrets/finetune",
    "/var/run/secrets/kubernetes.io",
    "/run/secrets/kubernetes.io",
    "/finetune",
    "/tmp",  # noqa: S108 - a path in the pod
    "/dev",
    "/proc",
    "/sys",
)

RESERVED_VARIABLES: Final = re.compile(
    r"(KUBEFLOW_TRAINER|FINETUNE|KUBERNETES|TORCHELASTIC)_.*|JOB_COMPLETION_INDEX"
    r"|RANK|LOCAL_RANK|GROUP_RANK|NODE_RANK|WORLD_SIZE|LOCAL_WORLD_SIZE|MASTER_ADDR|MASTER_PORT"
)
"""Variables that the operator or the launcher sets, and that would silence or misplace a rank."""

QUOTA_PREFIX: Final = "requests."

_SECRET_NAME: Final = re.compile(r"(^|_)(TOKEN|PASSWORD|PASSWD|SECRET|API_?KEY|ACCESS_KEY|CREDENTIALS)(_|$)")


def resources(job: FineTuneJob, target: str) -> Iterator[Finding]:
    """Sizes over zero, an environment and volumes that leave the product's own alone, sound scheduling."""
    spec = job.spec.resources
    if spec.provider == "local":
        yield suggestion(
            Code.LOCAL_PROVIDER,
            "resources.provider",
            "trains with what this machine has; a cluster may be faster",
            "Set resources.provider to cluster where there is one",
            spec.provider,
        )
        if target == "cluster":
            yield error(
                Code.CONFLICT,
                "resources.provider",
                "names the machine of whoever starts the job, and a cluster runs it in pods",
                "Train with finetune run, or set resources.provider to cluster",
                spec.provider,
            )
    yield from _sizes(job)
    if spec.accelerators.resource_name.startswith(QUOTA_PREFIX):
        yield error(
            Code.RESERVED,
            "resources.accelerators.resourceName",
            f"begins with {QUOTA_PREFIX}, which quotas put before the name of a resource",
            f"Write {spec.accelerators.resource_name.removeprefix(QUOTA_PREFIX)}",
            spec.accelerators.resource_name,
        )
    for index, variable in enumerate(spec.env):
        yield from _variable(variable, f"resources.env[{index}]")
    seen: dict[str, str] = {}
    for index, volume in enumerate(spec.volumes):
        path = f"resources.volumes[{index}]"
        yield from _volume(volume, path)
        if volume.mount_path in seen:
            yield error(
                Code.DUPLICATE,
                f"{path}.mountPath",
                f"is used by volume {seen[volume.mount_path]} too",
                "Mount each volume at a path of its own",
                volume.mount_path,
            )
        seen[volume.mount_path] = volume.name
    if spec.command is not None:
        yield from _command(spec.command)
    yield from scheduling(spec)


def _sizes(job: FineTuneJob) -> Iterator[Finding]:
    spec = job.spec.resources
    for name, text in (("cpu", spec.cpu), ("memory", spec.memory)):
        if quantity(text) <= 0:
            yield error(Code.OUT_OF_RANGE, f"resources.{name}", "must be more than 0", f"Raise {name}", text)
    memory, shared = quantity(spec.memory), quantity(spec.shared_memory)
    if shared >= memory > 0:
        yield error(
            Code.CONFLICT,
            "resources.sharedMemory",
            f"counts as the pod's memory and leaves nothing of resources.memory {spec.memory}",
            "Raise resources.memory or lower resources.sharedMemory",
            spec.shared_memory,
        )


def _variable(variable: EnvVar, path: str) -> Iterator[Finding]:
    if RESERVED_VARIABLES.fullmatch(variable.name):
        yield error(
            Code.RESERVED,
            f"{path}.name",
            "is set by the operator or by the launcher of the ranks",
            "Choose another name",
            variable.name,
        )
    if variable.value is not None and variable.value_from is not None:
        yield broken(Code.CONFLICT, VALUE_OR_SOURCE, variable.name, where=path)
    if variable.value and _SECRET_NAME.search(variable.name.upper()):
        yield warning(
            Code.PLAIN_SECRET,
            f"{path}.value",
            f"{variable.name} looks like a secret, and everyone who can read the job can read it",
            "Put it into a Secret and refer to it with valueFrom.secretKeyRef",
        )
    if variable.value and "\x00" in variable.value:
        yield error(Code.MALFORMED, f"{path}.value", "must not contain a NUL character", "Remove it")


def _volume(volume: Volume, path: str) -> Iterator[Finding]:
    yield from exactly_one(volume, path, VOLUME_SOURCES, "a volume")
    yield from absolute_path(volume.mount_path, f"{path}.mountPath")
    if volume.sub_path is not None:
        yield from relative_path(volume.sub_path, f"{path}.subPath")
    if ":" in volume.mount_path:
        yield error(
            Code.UNSAFE_PATH, f"{path}.mountPath", "must not contain :", "Rename it", volume.mount_path
        )
    for reserved in RESERVED_PATHS:
        if inside(volume.mount_path, reserved) or inside(reserved, volume.mount_path):
            yield error(
                Code.RESERVED,
                f"{path}.mountPath",
                f"would hide {reserved}, which the product uses",
                "Mount it elsewhere, such as /data",
                volume.mount_path,
            )
            break


def _command(command: list[str]) -> Iterator[Finding]:
    if not command[0].strip():
        yield error(
            Code.MALFORMED,
            "resources.command[0]",
            "names the program and must not be empty",
            "Write it as [python, /scripts/train.py]",
        )
    for index, argument in enumerate(command):
        if "\x00" in argument:
            yield error(
                Code.MALFORMED,
                f"resources.command[{index}]",
                "must not contain a NUL character",
                "Remove it",
            )
