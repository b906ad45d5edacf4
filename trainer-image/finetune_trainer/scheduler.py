"""Learning-rate schedules for a training loop of one's own, by three names."""

import math
from typing import cast

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers.optimization import get_constant_schedule_with_warmup, get_linear_schedule_with_warmup


class CosineSchedulerWithWarmup(LambdaLR):
    """Rises linearly over `warmup_steps`, then falls along half a cosine to `min_lr_ratio` times the peak at
    `total_steps`, and stays there."""

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_steps: int,
        total_steps: int,
        min_lr_ratio: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        def factor(step: int) -> float:
            if step < warmup_steps:
                return step / warmup_steps
            done = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
            return min_lr_ratio + (1.0 - min_lr_ratio) * 0.5 * (1.0 + math.cos(math.pi * done))

        super().__init__(optimizer, factor, last_epoch)


def get_scheduler(
    scheduler_type: str,
    optimizer: Optimizer,
    warmup_steps: int,
    total_steps: int | None = None,
    *,
    min_lr_ratio: float = 0.1,
) -> LambdaLR:
    """A schedule by name: cosine and linear need `total_steps`, `min_lr_ratio` is for cosine.

    Raises `ValueError`.
    """
    match scheduler_type:
        case "cosine":
            total = _needed(total_steps, scheduler_type)
            return CosineSchedulerWithWarmup(optimizer, warmup_steps, total, min_lr_ratio)
        case "linear":
            total = _needed(total_steps, scheduler_type)
            return cast(LambdaLR, get_linear_schedule_with_warmup(optimizer, warmup_steps, total))
        case "constant":
            return cast(LambdaLR, get_constant_schedule_with_warmup(optimizer, warmup_steps))
    raise ValueError(f"scheduler_type: {scheduler_type!r} is none of cosine, linear, constant")


def _needed(total_steps: int | None, scheduler_type: str) -> int:
    if total_steps is None:
        raise ValueError(f"total_steps: {scheduler_type} has to know where it ends. Set it")
    return total_steps
