"""What this version can do of what the API can say. Everything else is refused, never ignored."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from finetune_api.job import FineTuneJob, FineTuneJobSpec
from finetune_api.training import Optimizer
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


def _only_default(section: str, *fields: str) -> tuple[Limit, ...]:
    return tuple(Limit(f"{section}.{field}" if section else field) for field in fields)


IN_THE_IMAGE: Final[tuple[Optimizer, ...]] = (
    "adamw",
    "adamwFused",
    "adamw8bit",
    "pagedAdamw",
    "pagedAdamw8bit",
    "adafactor",
    "ademamix",
    "ademamix8bit",
    "lion",
    "lion8bit",
    "pagedLion",
    "pagedLion8bit",
    "sgd",
    "adagrad",
    "rmsprop",
)
"""Optimizers of torch, transformers and bitsandbytes. The others want galore-torch, apollo-torch, lomo-optim,
grokadamw, torch-optimi or schedulefree."""

LIMITS: Final[tuple[Limit, ...]] = (
    Limit("model.tokenizer.chatTemplateName", ("chatml", "plain")),
    Limit(
        "model.kernels",
        ("none", "auto", "liger"),
        why="needs a library that the trainer's image does not hold",
    ),
    Limit(
        "method.lora.initialization",
        ("auto", "default", "gaussian", "pissa", "olora", "loftq", "orthogonal"),
        why="starts from activations, which wants a pass over the data that this version does not make",
    ),
    *_only_default("dataset.train", "upload"),
    *_only_default("dataset.eval", "upload"),
    Limit(
        "dataset.columns.length", remedy="Remove it: groupByLength counts the tokens of each record itself"
    ),
    Limit(
        "training.optimizer",
        IN_THE_IMAGE,
        remedy="Use adamw, or adamw8bit for less memory",
        why="needs a library that the trainer's image does not hold",
    ),
    Limit(
        "training.schedule.type",
        (
            "cosine",
            "linear",
            "constant",
            "polynomial",
            "cosineWithRestarts",
            "inverseSqrt",
            "warmupStableDecay",
        ),
        remedy="Use cosine",
        why="follows evaluations that transformers plans itself, and here the job's own plan decides",
    ),
    Limit("training.engine", ("transformers",)),
    *_only_default("resources", "provider"),
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
                limit.why,
                limit.remedy or _remedy(limit, possible),
                plain(value),
            )


def _remedy(limit: Limit, possible: tuple[Any, ...]) -> str:
    shown = [str(plain(value)) for value in possible if value not in (None, [], {})]
    return f"Use {' or '.join(shown)}" if shown and limit.values else f"Remove {limit.path}"
