"""Rules about `spec.checkpoints` and `spec.output`."""

from collections.abc import Iterator
from typing import Final

from finetune_api.job import FineTuneJob
from finetune_api.rules_over_sections import OUTPUT_ON_A_CLAIM
from finetune_api.storage import CheckpointsSpec
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, broken, error, suggestion, warning
from finetune_api.validation.rules.common import quantity, relative_path

RARE_STEPS: Final = 1000
FREQUENT_STEPS: Final = 10


def storage(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """Volumes that can be used, and checkpoints that are written."""
    checkpoints, output = job.spec.checkpoints, job.spec.output
    volumes = {"checkpoints.storage": checkpoints.storage, "output.storage": output.storage}
    for path, volume in volumes.items():
        if volume is None:
            continue
        if volume.sub_path is not None:
            yield from relative_path(volume.sub_path, f"{path}.subPath")
        if volume.creates_claim and quantity(volume.size) <= 0:
            yield error(Code.OUT_OF_RANGE, f"{path}.size", "must be more than 0", "Raise it", volume.size)
    if output.storage is not None and output.storage.creates_claim:
        yield broken(Code.REQUIRES, OUTPUT_ON_A_CLAIM)
    yield from _how_often(checkpoints)
    if output.merge_adapter and not job.spec.method.uses_adapters:
        yield error(
            Code.CONFLICT,
            "output.mergeAdapter",
            f"merges an adapter, and method.type {job.spec.method.type} trains none",
            "Set output.mergeAdapter to false",
            True,
        )
    never = checkpoints.every_steps == 0 and checkpoints.every_minutes is None
    if never and not checkpoints.at_epoch_end:
        yield warning(
            Code.NO_CHECKPOINTS,
            "checkpoints.everySteps",
            "no checkpoint is written before the end, so every failure starts again from nothing",
            "Set checkpoints.everySteps or checkpoints.everyMinutes",
            0,
        )
    yield from _access_modes(job)


def _access_modes(job: FineTuneJob) -> Iterator[Finding]:
    storage, nodes = job.spec.checkpoints.storage, job.spec.distributed.nodes
    if not storage.creates_claim or "ReadWriteOncePod" not in storage.access_modes:
        return
    if len(storage.access_modes) > 1:
        yield error(
            Code.CONFLICT,
            "checkpoints.storage.accessModes",
            "ReadWriteOncePod can't be combined with other modes",
            "Use it alone, or leave it out",
            [*storage.access_modes],
        )
    elif nodes > 1:
        yield error(
            Code.CONFLICT,
            "checkpoints.storage.accessModes",
            f"ReadWriteOncePod lets one pod mount the volume, and there are {nodes}",
            "Use [ReadWriteMany]",
            [*storage.access_modes],
        )


def _how_often(checkpoints: CheckpointsSpec) -> Iterator[Finding]:
    if checkpoints.every_minutes is None and checkpoints.every_steps > RARE_STEPS:
        yield suggestion(
            Code.RARE_CHECKPOINTS,
            "checkpoints.everySteps",
            "loses much work at every failure or preemption",
            f"Use {RARE_STEPS} or less, or add checkpoints.everyMinutes",
            checkpoints.every_steps,
        )
    elif 0 < checkpoints.every_steps < FREQUENT_STEPS:
        yield suggestion(
            Code.FREQUENT_CHECKPOINTS,
            "checkpoints.everySteps",
            "makes the ranks wait for the disk most of the time",
            "Use 100 or more, or checkpoints.everyMinutes",
            checkpoints.every_steps,
        )
