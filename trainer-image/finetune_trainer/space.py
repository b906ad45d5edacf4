"""Room on the volume: asked for before the first step, not missed at the first checkpoint."""

import shutil
from pathlib import Path

from finetune_api.training import Optimizer
from finetune_trainer.errors import StorageError

MOMENTS: dict[Optimizer, float] = {
    "adamw": 2,
    "adamwFused": 2,
    "adamw8bit": 0.5,
    "pagedAdamw": 2,
    "pagedAdamw8bit": 0.5,
    "ademamix": 3,
    "ademamix8bit": 0.75,
    "lion": 1,
    "lion8bit": 0.25,
    "pagedLion": 1,
    "pagedLion8bit": 0.25,
    "adagrad": 1,
    "rmsprop": 1,
    # embeddings and norms are not projected
    "galoreAdamw": 2,
    "stableAdamw": 2,
    # the second: the weights that training goes on from, beside their average
    "scheduleFreeAdamw": 3,
    "scheduleFreeSgd": 2,
}
"""fp32 values per trained weight that an optimizer keeps, four 8-bit ones counted as one; the others keep
next to none."""

VALUE_BYTES = 4


def checkpoint_bytes(trained: int, optimizer: Optimizer, *, deepspeed: bool) -> int:
    """About the size of one checkpoint: the trained weights in fp32, the optimizer's moments, and DeepSpeed's
    own copy of the weights."""
    return int(VALUE_BYTES * trained * (1 + MOMENTS.get(optimizer, 0) + (1 if deepspeed else 0)))


def check_room(directory: Path, needed: int) -> None:
    """Raises `StorageError` when a directory's volume has less than so many bytes free."""
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise StorageError(
            f"checkpoints.storage: one checkpoint of this run takes about {_mebibytes(needed)}, and "
            f"{_mebibytes(free)} are free. Use a larger volume, or remove what is no longer needed there"
        )


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
