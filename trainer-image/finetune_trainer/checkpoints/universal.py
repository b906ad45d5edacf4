"""Going on from a checkpoint of another layout: other ranks, another ZeRO stage, with or without DeepSpeed.

Whatever wrote it is first taken apart into a layout that any other can be filled from
(`universal_files.py`). Weights, moments, schedule and the order of the data go on; the random numbers of
dropout don't, and sums are taken in another order. So such a resume is approximate, and says so.
"""

import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR

from finetune_api.deepspeed import offloads, uses_deepspeed
from finetune_api.resolved import ResolvedJob
from finetune_trainer.checkpoints.learning_rates import renew_rates
from finetune_trainer.checkpoints.manifest import Manifest
from finetune_trainer.checkpoints.store import Checkpoint
from finetune_trainer.checkpoints.universal_files import MOMENTS, NAMES_FILE, read, take_apart
from finetune_trainer.data.cache import exclusive
from finetune_trainer.distributed import barrier, rank
from finetune_trainer.errors import OUT_OF_SPACE, InvalidConfigError
from finetune_trainer.files import staged_as
from finetune_trainer.space import check_room

log = logging.getLogger(__name__)

OPTIMIZERS = frozenset({"adamw", "adamwFused"})
"""Optimizers whose state the universal layout has words for."""

CONVERSION_ERRORS = (OSError, KeyError, IndexError, ValueError, RuntimeError, AssertionError, TypeError)
"""What DeepSpeed's converter and torch raise for a checkpoint that they cannot take apart."""


@dataclass(frozen=True)
class Layout:
    """How a checkpoint's state is spread over ranks."""

    world_size: int
    zero_stage: int
    deepspeed: bool
    offload: bool = False

    @classmethod
    def of(cls, manifest: Manifest) -> "Layout":
        """The layout that a checkpoint was written in."""
        return cls(manifest.world_size, manifest.zero_stage, manifest.deepspeed, manifest.offload)

    @classmethod
    def wanted(cls, job: ResolvedJob) -> "Layout":
        """The layout that an attempt writes."""
        spec = job.spec.distributed
        offload = offloads(spec, "offload_optimizer")
        return cls(job.world_size, spec.stage_of_zero, uses_deepspeed(spec, job.world_size), offload)

    def __str__(self) -> str:
        ranks = "1 rank" if self.world_size == 1 else f"{self.world_size} ranks"
        if not self.deepspeed:
            return f"{ranks} without DeepSpeed"
        return f"{ranks} under ZeRO stage {self.zero_stage}{' with offload' if self.offload else ''}"


def carry_over(checkpoint: Checkpoint, job: ResolvedJob, staging: Path) -> Path | None:
    """The checkpoint in the universal layout, in a directory under `staging`; None where this attempt can
    read it as it is. All ranks call it: one does the work, the others wait for its file lock.

    Raises `InvalidConfigError` for one that cannot be carried over, or may not, and `StorageError` when there
    is no room for it.
    """
    written, wanted = Layout.of(checkpoint.manifest), Layout.wanted(job)
    if written == wanted:
        return None
    if not job.spec.checkpoints.universal:
        raise InvalidConfigError(
            f"distributed: checkpoint {checkpoint.path.name} was written by {written}, this attempt has "
            f"{wanted}. Set checkpoints.universal: true to go on from it approximately, use the same "
            "layout, or start anew with checkpoints.resume: never"
        )
    if not (written.deepspeed or wanted.deepspeed):
        # every rank holds everything: only random states differ
        return None
    if (optimizer := job.spec.training.optimizer) not in OPTIMIZERS:
        raise _cannot(
            checkpoint,
            written,
            wanted,
            f"training.optimizer: {optimizer} has other state than {sorted(OPTIMIZERS)}",
        )
    target = staging / f"universal-{checkpoint.path.name}"
    # a file lock, no collective: a large checkpoint may take longer than ranks wait for one another
    with exclusive(staging.parent / ".universal.lock") as alone:
        if not target.is_dir():
            log.info("%s was written by %s: it is carried over to %s", checkpoint.path.name, written, wanted)
            # the parts, and then the whole
            room = 2 * checkpoint.manifest.bytes
            try:
                with staged_as(target, alone=alone) as staged:
                    check_room(staging, room, "a checkpoint is taken apart for another layout")
                    take_apart(checkpoint.path, staged)
            except CONVERSION_ERRORS as error:
                if isinstance(error, OSError) and error.errno in OUT_OF_SPACE:
                    raise
                raise _cannot(checkpoint, written, wanted, f"{type(error).__name__}: {error}") from error
    return target


def write_names(directory: Path, model: torch.nn.Module, optimizer: Any) -> None:
    """Puts the names of an optimizer's weights beside its state, where the state is whole."""
    base = _base(optimizer)
    if not isinstance(base, torch.optim.Optimizer):
        return
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    ordered = [names.get(id(item)) for group in base.param_groups for item in group["params"]]
    if None not in ordered:
        (directory / NAMES_FILE).write_text(json.dumps(ordered), encoding="utf-8")


def restore(trainer: Any, universal: Path, checkpoint: Path | None) -> None:
    """Puts what `carry_over` made into a trainer that is ready to train, on all ranks together; then removes
    it.

    `checkpoint` is where the schedule is taken from; None where only weights matter. Raises
    `InvalidConfigError` when a trained weight is not there.
    """
    zero = universal / "zero"
    trained = [name for name, weight in trainer.model.named_parameters() if weight.requires_grad]
    missing = [name for name in trained if not (zero / name / "fp32.pt").is_file()]
    if missing:
        raise InvalidConfigError(
            f"checkpoints.universal: {universal.name} lacks {len(missing)} of {len(trained)} trained weights "
            f"({', '.join(missing[:3])}). Start anew with checkpoints.resume: never"
        )
    base = _base(trainer.optimizer)
    if isinstance(base, torch.optim.Optimizer):
        _fill_whole(trainer.model, base, zero)
    elif hasattr(base, "load_hp_checkpoint_state_from_checkpoint_dir"):
        _fill_shards(base, universal)
    else:
        raise InvalidConfigError(
            f"checkpoints.universal: {type(base).__name__} cannot take over a checkpoint of another layout. "
            "Use distributed.zeroStage: 1 or more"
        )
    if checkpoint is not None:
        _go_on_with_schedule(trainer, torch.load(checkpoint / "scheduler.pt", weights_only=True))
    barrier()
    if rank() == 0:
        shutil.rmtree(universal)


def _go_on_with_schedule(trainer: Any, saved: dict[str, Any]) -> None:
    """The position counts, and rates follow from it. (DeepSpeed leaves out parameter groups without weights,
    so that the rates of the checkpoint may be those of other groups.)"""
    scheduler = trainer.lr_scheduler
    if isinstance(scheduler, LambdaLR):
        position = {name: saved[name] for name in ("last_epoch", "_step_count")}
        scheduler.load_state_dict(scheduler.state_dict() | position)
        for function, kept in zip(scheduler.lr_lambdas, saved.get("lr_lambdas", ()), strict=False):
            # what reduceOnPlateau has seen, the same for every group
            vars(function).update(kept or {})
        renew_rates(trainer.optimizer, scheduler)
        return
    scheduler.load_state_dict(saved)
    groups = trainer.optimizer.param_groups
    if len(saved["_last_lr"]) != len(groups):
        raise InvalidConfigError(
            f"checkpoints.universal: the schedule has {len(saved['_last_lr'])} learning rates for "
            f"{len(groups)} parameter groups. Start anew with checkpoints.resume: never"
        )
    for group, rate in zip(groups, saved["_last_lr"], strict=True):
        group["lr"] = rate


def _base(optimizer: Any) -> Any:
    """The optimizer that accelerate has wrapped: torch's, or DeepSpeed's around it."""
    return (
        getattr(optimizer, "optimizer", optimizer)
        if type(optimizer).__module__.startswith("accelerate")
        else optimizer
    )


def _fill_whole(model: torch.nn.Module, optimizer: torch.optim.Optimizer, zero: Path) -> None:
    fused = any(group.get("fused") for group in optimizer.param_groups)
    for name, weight in model.named_parameters():
        if not weight.requires_grad:
            continue
        weight.data.copy_(read(zero / name / "fp32.pt").view_as(weight))
        step = read(zero / name / "step.pt")
        optimizer.state[weight] = {"step": step.to(weight.device) if fused else step} | {
            moment: read(zero / name / f"{moment}.pt").view_as(weight).to(weight.device) for moment in MOMENTS
        }


def _fill_shards(optimizer: Any, universal: Path) -> None:
    if hasattr(optimizer, "checkpoint_event_prologue"):
        optimizer.checkpoint_event_prologue()
    optimizer.load_state_dict(None, checkpoint_folder=str(universal))
    if hasattr(optimizer, "checkpoint_event_epilogue"):
        optimizer.checkpoint_event_epilogue()
    else:
        optimizer.update_lp_params()
    inner = optimizer.optimizer
    fused = any(group.get("fused") for group in inner.param_groups)
    for weight, state in inner.state.items():
        # each its own: torch counts in place, a fused one on the device. DeepSpeed's count in plain integers
        step = float(state["step"])
        counted = torch.tensor(step, device=weight.device if fused else "cpu")
        state["step"] = counted if type(inner).__module__.startswith("torch.") else int(step)


def _cannot(checkpoint: Checkpoint, written: Layout, wanted: Layout, reason: str) -> InvalidConfigError:
    return InvalidConfigError(
        f"checkpoints.universal: checkpoint {checkpoint.path.name}, written by {written}, cannot be carried "
        f"over to {wanted}: {reason}. Use the layout that it was written in, or start anew with "
        "checkpoints.resume: never"
    )
