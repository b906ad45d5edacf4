"""What this version can do of what the API can say. Everything else is refused, never ignored."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from finetune_api.job import FineTuneJob, FineTuneJobSpec
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


def _only_default(section: str, *fields: str) -> tuple[Limit, ...]:
    return tuple(Limit(f"{section}.{field}" if section else field) for field in fields)


LIMITS: Final[tuple[Limit, ...]] = (
    Limit("preset", remedy="Use finetune submit or finetune run, which fill it in before it is sent"),
    Limit("model.config.architecture", ("llama", "mistral", "qwen2", "qwen3", "gemma2", "phi3")),
    Limit("model.tokenizer.chatTemplateName", ("chatml", "plain")),
    *_only_default("model", "kernels", "upcastLayerNorm"),
    Limit("method.type", ("full", "lora")),
    Limit("method.lora.initialization", ("auto", "default", "gaussian")),
    *_only_default("method.lora", "pissaIterations", "learningRateRatio", "embeddingLearningRate"),
    *_only_default(
        "quantization", "type", "computeType", "storageType", "doubleQuantization", "skipModules", "allowDora"
    ),
    *_only_default("dataset.train", "http.tokenSecret", "s3", "upload"),
    *_only_default("dataset.eval", "http.tokenSecret", "s3", "upload"),
    *_only_default("dataset.columns", "length"),
    *_only_default("dataset", "preprocessing.workers", "streaming"),
    Limit("training.optimizer", ("adamw", "adamwFused", "adafactor", "sgd")),
    Limit("training.schedule.type", ("cosine", "linear", "constant")),
    *_only_default("training.schedule", "cycles", "power", "stableRatio"),
    *_only_default("training.dataLoader", "pinMemory", "prefetchFactor"),
    # ppo runs, but its reward rose in 6 of 20 small runs, which is none: docs/log.md, "Stages beyond sft"
    Limit("training.stage", ("pretrain", "sft", "rm", "dpo", "kto", "grpo")),
    Limit("training.engine", ("transformers",)),
    *_only_default(
        "training",
        "parameterGroups",
        "compile",
        "labelSmoothing",
        "neftuneNoiseAlpha",
    ),
    *_only_default("resources", "provider"),
    *_only_default("checkpoints", "universal"),
    *_only_default("output", "mergeAdapter", "precision", "maxShardSizeGB", "modelCard", "hub"),
    *_only_default("evaluation", "accumulationSteps", "metrics", "generations", "benchmarks"),
    *_only_default("tracking", "trackers", "project", "runName", "tags"),
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
                "is part of the API, but this version can't do it yet",
                limit.remedy or _remedy(limit, possible),
                plain(value),
            )


def _remedy(limit: Limit, possible: tuple[Any, ...]) -> str:
    shown = [str(plain(value)) for value in possible if value not in (None, [], {})]
    return f"Use {' or '.join(shown)}" if shown and limit.values else f"Remove {limit.path}"
