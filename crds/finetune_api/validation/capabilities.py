"""What this version can do of what the API can say. Everything else is refused, never ignored."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from finetune_api.job import FineTuneJob, FineTuneJobSpec
from finetune_api.training import Optimizer, ScheduleType
from finetune_api.validation.codes import Code
from finetune_api.validation.fields import default_at, plain, value_at
from finetune_api.validation.findings import Finding, error


@dataclass(frozen=True)
class Limit:
    """One field whose values are not all possible yet."""

    path: str
    values: tuple[Any, ...] | None = None
    """Values that are possible; None: only the default."""

    remedy: str = ""
    """The way out, where there is a better one than another value."""

    why: str = "is part of the API, but this version can't do it yet"
    """What is in the way."""

    reasons: Mapping[str, str] = field(default_factory=dict)
    """What is in the way of single values."""


def _only_default(section: str, *fields: str) -> tuple[Limit, ...]:
    return tuple(Limit(f"{section}.{field}" if section else field) for field in fields)


_TORCHAO: Final = "comes from torchao, which the image does not hold: adamw8bit is bitsandbytes' in its place"
_LAYERWISE: Final = (
    "updates each weight in the backward pass and keeps its state out of checkpoints: a resumed run would "
    "start without it, and maxGradNorm would be ignored"
)
_APOLLO: Final = "comes from apollo-torch, whose licence forbids commercial use"

LEFT_OUT: Final[Mapping[str, str]] = {
    "adamwTorch4bit": _TORCHAO,
    "adamwTorch8bit": _TORCHAO,
    "adamwTorchXla": "comes from torch_xla, which is for TPUs, and this trainer runs on CPUs and NVIDIA GPUs",
    "adamwTorchNpuFused": "comes from torch_npu, which is for Ascend NPUs, and this trainer runs on CPUs and "
    "NVIDIA GPUs",
    "adamwAnyprecision": "comes from torchdistx, which is no longer kept and on no package index",
    "galoreAdamw8bit": "hands bitsandbytes its settings in an order that bitsandbytes no longer has, so that "
    "updates would be clipped to a norm that nobody has set",
    "galoreAdamwLayerwise": _LAYERWISE,
    "galoreAdamw8bitLayerwise": _LAYERWISE,
    "galoreAdafactorLayerwise": _LAYERWISE,
    "apolloAdamw": _APOLLO,
    "apolloAdamwLayerwise": _APOLLO,
    "lomo": "comes from lomo-optim, which clips gradients in a second backward pass that transformers does "
    "not make, and does not average them over ranks",
    "adalomo": "comes from lomo-optim, which keeps its state out of checkpoints: a resumed run would start "
    "without it",
    "grokadamw": "comes from grokadamw, which keeps its state under the identity of tensors: a resumed run "
    "would start without it",
}
"""Optimizers that the trainer's image can't serve, and why not."""

IN_THE_IMAGE: Final = tuple(name for name in get_args(Optimizer) if name not in LEFT_OUT)
"""All others: those of torch, transformers, bitsandbytes, galore-torch, torch-optimi and schedulefree."""

SCHEDULES_LEFT_OUT: Final[Mapping[str, str]] = {
    "greedy": "keeps the rate between limits that transformers sets to 0.001 and 1, above the rates of "
    "fine-tuning: it would never be lowered",
}
"""Schedules that this trainer does not serve, and why not."""

SCHEDULES: Final = tuple(name for name in get_args(ScheduleType) if name not in SCHEDULES_LEFT_OUT)
"""All others: schedules of transformers, and PyTorch's plateau."""

LIMITS: Final[tuple[Limit, ...]] = (
    Limit(
        "model.kernels",
        ("none", "auto", "liger"),
        why="needs a library that the trainer's image does not hold",
    ),
    *_only_default("dataset.train", "upload"),
    *_only_default("dataset.eval", "upload"),
    Limit(
        "training.optimizer",
        IN_THE_IMAGE,
        remedy="Use adamw, or adamw8bit for less memory",
        reasons=LEFT_OUT,
    ),
    Limit(
        "training.schedule.type",
        SCHEDULES,
        remedy="Use reduceOnPlateau, which follows evaluations too",
        reasons=SCHEDULES_LEFT_OUT,
    ),
    Limit("training.engine", ("transformers",)),
    Limit(
        "resources.provider",
        ("cluster", "local"),
        why="needs a machine of a cloud provider, and this version rents none",
    ),
    Limit("failurePolicy.outOfMemory", ("fail", "retry")),
    *_only_default("failurePolicy", "stallTimeoutSeconds"),
    *_only_default(
        "budget",
        "maxCostUSD",
        "maxGPUHours",
        "maxDurationHours",
        "maxEnergyKWh",
        "maxCarbonKg",
        "onExceeded",
    ),
)
"""Fields that are not listed here can take every value of the schema."""


def unsupported(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """An error for each field whose value this version can't honour."""
    for limit in LIMITS:
        value = value_at(job.spec, limit.path)
        possible = (default_at(FineTuneJobSpec, limit.path),) if limit.values is None else limit.values
        if value is not None and value not in possible:
            yield error(
                Code.NOT_YET_SUPPORTED,
                limit.path,
                limit.reasons.get(value, limit.why) if isinstance(value, str) else limit.why,
                limit.remedy or _remedy(limit, possible),
                plain(value),
            )


def _remedy(limit: Limit, possible: tuple[Any, ...]) -> str:
    shown = [str(plain(value)) for value in possible if value not in (None, [], {})]
    return f"Use {' or '.join(shown)}" if shown and limit.values else f"Remove {limit.path}"
