"""Learning-rate schedules by their names."""

import math
from typing import Any, Final

from finetune_api.training import ScheduleSpec
from finetune_trainer.errors import InvalidConfigError

STABLE_RATIO: Final = 0.8
"""Share of the steps at the full rate, for warmupStableDecay, where none is given."""


def schedule(spec: ScheduleSpec, total_steps: int | None = None) -> tuple[str, dict[str, Any]]:
    """transformers' name for a schedule, and its settings.

    `total_steps` is needed by warmupStableDecay alone, whose phases transformers counts in steps. Raises
    `InvalidConfigError`.
    """
    floor = spec.min_learning_rate_ratio
    if floor and spec.type != "cosine":
        raise InvalidConfigError(
            f"training.schedule.minLearningRateRatio: {floor} is a part of cosine, and the type is "
            f"{spec.type}. Use schedule.type cosine, or minLearningRateRatio: 0"
        )
    match spec.type:
        case "cosine" if start := spec.start_learning_rate_ratio:
            return "cosine_warmup_with_min_lr", {"min_lr_rate": floor, "warmup_lr_rate": start}
        case "cosine" if floor:
            return "cosine_with_min_lr", {"min_lr_rate": floor}
        case "cosine" | "linear" as name:
            return name, {}
        case "constant" | "reduceOnPlateau":
            # the trainer puts the plateau's stairs in its place (`plateau.py`)
            return "constant_with_warmup", {}
        case "polynomial":
            return "polynomial", {"power": spec.power, "lr_end": 0.0}
        case "cosineWithRestarts":
            return "cosine_with_restarts", {"num_cycles": spec.cycles}
        case "inverseSqrt":
            return "inverse_sqrt", {}
        case "warmupStableDecay":
            if total_steps is None:
                raise AssertionError("the number of steps must be known where a share of them is asked for")
            return "warmup_stable_decay", {"num_decay_steps": decay_steps(spec, total_steps)}
        case "greedy":
            raise InvalidConfigError("training.schedule.type: greedy is not served. Use reduceOnPlateau")


def decay_steps(spec: ScheduleSpec, total: int) -> int:
    """Steps in which the rate of warmupStableDecay falls: what the warm-up and the stable phase leave."""
    warmup = math.ceil(total * spec.warmup_ratio) if spec.warmup_steps is None else spec.warmup_steps
    stable = round(total * (STABLE_RATIO if spec.stable_ratio is None else spec.stable_ratio))
    return max(0, total - warmup - stable)
