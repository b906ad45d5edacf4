"""Rules about `spec.method`."""

from collections.abc import Iterator

from finetune_api.job import FineTuneJob
from finetune_api.method import ALL_LINEAR, LoraSpec, MethodSpec
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, error, suggestion
from finetune_api.validation.rules.common import pattern, patterns

HIGH_SCALE = 16
DECOMPOSING = ("pissa", "olora", "loftq")
"""Initializations that take the adapter out of the base's weights."""
LIKELIHOOD = ("pretrain", "sft")
"""Stages that train on sequences as they are."""


def method(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """Settings that belong to the method and mean something together."""
    spec = job.spec.method
    yield from _lora(spec.lora)
    if spec.uses_adapters:
        yield from _scale(spec)
    elif spec.lora.learning_rate_ratio is not None:
        yield error(
            Code.CONFLICT,
            "method.lora.learningRateRatio",
            f"is about the matrices of adapters, and method.type {spec.type} has none",
            "Remove it, or use training.parameterGroups",
            spec.lora.learning_rate_ratio,
        )
    yield from _initialization(job)
    for name, settings in (("freeze", spec.freeze), ("spectrum", spec.spectrum)):
        if settings is None:
            continue
        yield from patterns(settings.module_patterns, f"method.{name}.modulePatterns")
        if spec.type != name:
            yield error(
                Code.CONFLICT,
                f"method.{name}",
                f"belongs to method.type {name}, and the type is {spec.type}",
                f"Remove method.{name} or set method.type to {name}",
            )


def _lora(lora: LoraSpec) -> Iterator[Finding]:
    if ALL_LINEAR in lora.target_modules and len(lora.target_modules) > 1:
        yield error(
            Code.CONFLICT,
            "method.lora.targetModules",
            f"{ALL_LINEAR} stands for every linear layer and can't be mixed with names",
            f"Use [{ALL_LINEAR}] alone, or only names",
            [*lora.target_modules],
        )
    yield from pattern(lora.target_pattern, "method.lora.targetPattern")
    if lora.layers_pattern is not None and not lora.layers_to_transform:
        yield error(
            Code.REQUIRES,
            "method.lora.layersPattern",
            "says where layersToTransform counts, and layersToTransform is empty",
            "Set method.lora.layersToTransform or remove layersPattern",
            lora.layers_pattern,
        )
    if lora.layers_to_transform and lora.target_pattern is None and lora.target_modules == [ALL_LINEAR]:
        yield error(
            Code.CONFLICT,
            "method.lora.layersToTransform",
            "chooses among named modules, and targetModules is [all-linear]",
            "Name the modules in method.lora.targetModules, such as [q_proj, v_proj]",
            [*lora.layers_to_transform],
        )
    if lora.target_pattern is not None and lora.layers_to_transform:
        yield error(
            Code.CONFLICT,
            "method.lora.layersToTransform",
            "chooses among the layers of targetModules, and targetPattern replaces those",
            "Write the layers into targetPattern, or use targetModules",
            [*lora.layers_to_transform],
        )
    if lora.embedding_learning_rate is not None and lora.learning_rate_ratio is None:
        yield error(
            Code.REQUIRES,
            "method.lora.embeddingLearningRate",
            "is a part of LoRA+, and learningRateRatio is not set",
            "Set method.lora.learningRateRatio, such as 16",
            lora.embedding_learning_rate,
        )


def _scale(spec: MethodSpec) -> Iterator[Finding]:
    rooted = spec.type == "rslora" or spec.lora.rank_stabilized
    scale = spec.lora.alpha / (spec.lora.rank**0.5 if rooted else spec.lora.rank)
    if scale > HIGH_SCALE:
        yield suggestion(
            Code.HIGH_ADAPTER_SCALE,
            "method.lora.alpha",
            f"multiplies the adapter's output by {scale:.3g} (alpha / {'√rank' if rooted else 'rank'}), "
            "which acts like a much higher learning rate",
            "Lower alpha: twice the rank is usual, and about √rank to twice that for rslora",
            spec.lora.alpha,
        )


def _initialization(job: FineTuneJob) -> Iterator[Finding]:
    method, quantization = job.spec.method, job.spec.quantization.type
    path, start = "method.lora.initialization", method.lora.initialization
    if method.type == "pissa" and start not in ("auto", "pissa"):
        yield error(
            Code.CONFLICT,
            path,
            "method.type pissa means adapters that start as the principal singular vectors",
            "Use auto, or method.type lora",
            start,
        )
    if method.type == "dora" and start in DECOMPOSING:
        yield error(
            Code.CONFLICT,
            path,
            "moves a part of the base into the adapter, and a trained dora can't be told apart from it again",
            "Use initialization auto, or method.type lora",
            start,
        )
    if start == "eva" and job.spec.training.stage not in LIKELIHOOD:
        yield error(
            Code.CONFLICT,
            path,
            "looks at what the training data does to the layers, as sequences of tokens, and training.stage "
            f"{job.spec.training.stage} has none",
            "Use initialization auto, or training.stage sft",
            start,
        )
    if start == "loftq" and quantization not in ("nf4", "fp4"):
        yield error(
            Code.REQUIRES,
            path,
            "fits adapters to the error of 4-bit quantization by bitsandbytes, and quantization.type is "
            f"{quantization}",
            "Set quantization.type to nf4 or fp4, or use initialization pissa",
            start,
        )
    if start == "orthogonal" and method.lora.rank % 2:
        yield error(
            Code.CONFLICT,
            path,
            f"pairs the rows of the adapter, and method.lora.rank {method.lora.rank} is odd",
            "Use an even rank",
            start,
        )
