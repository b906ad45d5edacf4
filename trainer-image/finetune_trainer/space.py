"""Room on the volumes: asked for before the first step, not missed at a checkpoint or at the end."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from finetune_api.deepspeed import uses_deepspeed
from finetune_api.estimate.optimizers import state_bytes
from finetune_api.job import FineTuneJobSpec
from finetune_api.resolved import ResolvedJob
from finetune_api.storage import OutputSpec
from finetune_api.training import Optimizer
from finetune_trainer.data.sampling import total_steps
from finetune_trainer.deepspeed_config import Precision
from finetune_trainer.errors import StorageError
from finetune_trainer.model.precision import DTYPES

VALUE_BYTES = 4

KEEP_LESS = ", or lower checkpoints.keep"


def checkpoint_bytes(
    saved: int,
    trained: int,
    optimizer: Optimizer,
    *,
    width: int,
    weight_bytes: int = VALUE_BYTES,
    deepspeed: bool,
) -> int:
    """About the size of one checkpoint: the saved weights (the adapter's, or all of the model's), each of so
    many bytes, and of the trained ones the optimizer's states and DeepSpeed's own copy in fp32. `width` is
    the narrow side of the model's matrices."""
    state_type = VALUE_BYTES if deepspeed else weight_bytes
    states = state_bytes(optimizer, trained, state_type, width)
    if optimizer.startswith("scheduleFree"):
        # the weights that training goes on from, beside their average
        states += trained * weight_bytes
    return int(saved * weight_bytes + states + trained * VALUE_BYTES * deepspeed)


def saves_to_come(spec: FineTuneJobSpec, *, start: int, steps_per_epoch: int) -> int:
    """At most so many checkpoints are written after step `start`. What the clock and evaluations add is not
    known before, and counts as one per step."""
    steps = total_steps(spec.training, steps_per_epoch)
    left = max(0, steps - start)
    if spec.checkpoints.every_minutes is not None or spec.output.checkpoint == "best":
        return left
    every = spec.checkpoints.every_steps
    by_steps = steps // every - start // every if every else 0
    by_epochs = steps // steps_per_epoch - start // steps_per_epoch if spec.checkpoints.at_epoch_end else 0
    return min(by_steps + by_epochs + 1, left)


def output_bytes(
    output: OutputSpec, *, trained: int, weights: int, adapter: bool, run: Precision, merged: Precision
) -> int:
    """About the room that the result takes while it is written: an adapter, and a merged model of so many
    weights beside it; or a whole model, twice where it is written again in another type or in smaller
    files."""
    if adapter:
        return VALUE_BYTES * trained + (output.merge_adapter * DTYPES[merged].itemsize * weights)
    first = DTYPES[run].itemsize * weights
    written = DTYPES[run if output.precision == "auto" else output.precision].itemsize * weights
    again = written != first or first > output.max_shard_size_gb * 1e9
    return first + (written if again else 0)


def more_checkpoints(*, to_come: int, keep: int, best: bool, present: int) -> int:
    """How many more checkpoints lie on the volume at once: a new one is whole before an old one goes, and the
    best one stays beside the newest."""
    most = min(present + to_come, keep + best + 1)
    return max(most - present, min(to_come, 1))


def check_room(
    directory: Path, needed: int, what: str, *, field: str = "checkpoints.storage", remedy: str = KEEP_LESS
) -> None:
    """Raises `StorageError` when a directory's volume has less than so many bytes free for what is said."""
    free = shutil.disk_usage(_existing(directory)).free
    if free < needed:
        raise StorageError(
            f"{field}: this run needs about {_mebibytes(needed)}, and {_mebibytes(free)} are free: {what}. "
            f"Use a larger volume, remove what is no longer needed there{remedy}"
        )


@dataclass(frozen=True)
class Room:
    """What a run will write, beside what is on its volumes already."""

    checkpoint: int
    """Bytes of one checkpoint."""
    checkpoints: int
    """How many more of them lie on the volume at once."""
    output: int
    """Bytes of the result."""

    @classmethod
    def of(
        cls,
        job: ResolvedJob,
        *,
        trained: int,
        weights: int,
        width: int,
        weight_bytes: int,
        precision: Precision,
        merged: Precision,
        present: int,
        start: int,
        steps_per_epoch: int,
        evaluates: bool,
    ) -> "Room":
        """For a run that trains so many of a model's weights, of so many bytes each, from step `start` on,
        where so many checkpoints are present. `width` is the narrow side of the model's matrices."""
        spec = job.spec
        deepspeed = uses_deepspeed(spec.distributed, job.world_size)
        return cls(
            checkpoint_bytes(
                trained if spec.method.uses_adapters else weights,
                trained,
                spec.training.optimizer,
                width=width,
                weight_bytes=weight_bytes,
                deepspeed=deepspeed,
            ),
            more_checkpoints(
                to_come=saves_to_come(spec, start=start, steps_per_epoch=steps_per_epoch),
                keep=spec.checkpoints.keep,
                best=evaluates,
                present=present,
            ),
            output_bytes(
                spec.output,
                trained=trained,
                weights=weights,
                adapter=spec.method.uses_adapters,
                run=precision,
                merged=merged,
            ),
        )

    def check(self, run_directory: Path, output_directory: Path) -> None:
        """Raises `StorageError` when a volume has less room than will be needed there."""
        kept = self.checkpoint * self.checkpoints
        here = (
            f"{self.checkpoints} more checkpoints at once, of {_mebibytes(self.checkpoint)} each (the "
            "checkpoints.keep newest ones, the best one, and the one that is being written)"
        )
        result = f"{_mebibytes(self.output)} for the result"
        if _volume_of(run_directory) == _volume_of(output_directory):
            check_room(run_directory, kept + self.output, f"{here}, and {result}")
        else:
            check_room(run_directory, kept, here)
            remedy = ", or set output.precision to bf16"
            check_room(output_directory, self.output, result, field="output.storage", remedy=remedy)


def _volume_of(directory: Path) -> int:
    return _existing(directory).stat().st_dev


def _existing(directory: Path) -> Path:
    return next(place for place in (directory, *directory.parents) if place.exists())


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
