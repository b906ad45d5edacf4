"""Rules about `spec.method` and `spec.quantization`."""

from collections.abc import Iterator

from finetune_api.job import FineTuneJob
from finetune_api.method import ALL_LINEAR, LoraSpec, MethodSpec
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, error, suggestion, warning
from finetune_api.validation.rules.common import pattern, patterns

HIGH_SCALE = 16
FOUR_BIT = ("int4", "nf4", "fp4")
NEEDS_WHOLE_WEIGHTS = ("pissa", "loftq")
"""Initializations that decompose the base's weights and fail on quantized ones."""


def method(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """Adapter settings that mean something, and a quantization that the method can train on."""
    spec = job.spec.method
    yield from _lora(spec.lora)
    if spec.uses_adapters:
        yield from _scale(spec)
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
    yield from _quantization(job)


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
    kind, start = job.spec.method.type, job.spec.method.lora.initialization
    if kind == "pissa" and start not in ("auto", "pissa"):
        yield error(
            Code.CONFLICT,
            "method.lora.initialization",
            "method.type pissa means adapters that start as the principal singular vectors",
            "Use auto, or method.type lora",
            start,
        )
    if job.spec.quantization.type == "none":
        return
    if kind == "pissa" or start in NEEDS_WHOLE_WEIGHTS:
        named = "method.lora.initialization" if start in NEEDS_WHOLE_WEIGHTS else "method.type"
        yield error(
            Code.QUANTIZATION_CONFLICT,
            named,
            "is computed from whole weights, and a quantized base has none",
            "Set quantization.type to none, or use method.type qlora with initialization auto",
            start if start in NEEDS_WHOLE_WEIGHTS else kind,
        )


def _quantization(job: FineTuneJob) -> Iterator[Finding]:
    kind, quantization = job.spec.method.type, job.spec.quantization
    if kind == "qlora" and quantization.type not in FOUR_BIT:
        yield warning(
            Code.QLORA_WITHOUT_QUANTIZATION,
            "quantization.type",
            "qlora is meant for a base in 4 bit, and saves no memory on this one",
            "Set quantization.type to nf4, or use method.type lora",
            quantization.type,
        )
    if quantization.type == "none":
        return
    yield from _quantized_zero3(job)
    on_cpu = job.spec.resources.accelerators.per_node == 0
    if kind == "dora" and quantization.allow_dora and quantization.type == "int8" and on_cpu:
        yield error(
            Code.QUANTIZATION_CONFLICT,
            "quantization.type",
            "dora on an int8 base fails on CPU at its second step",
            "Use quantization.type nf4, or method.type lora",
            quantization.type,
        )
    if not job.spec.method.uses_adapters:
        yield error(
            Code.QUANTIZATION_CONFLICT,
            "quantization.type",
            "quantized weights can't be trained, and this method.type trains them",
            "Set quantization.type to none, or use method.type lora or qlora",
            quantization.type,
        )
    if kind == "dora" and not quantization.allow_dora:
        yield error(
            Code.QUANTIZATION_CONFLICT,
            "quantization.type",
            "dora on a quantized base is refused: it is slow, and not every combination works",
            "Set quantization.type to none, use method.type qlora, or set quantization.allowDora: true",
            quantization.type,
        )


def _quantized_zero3(job: FineTuneJob) -> Iterator[Finding]:
    quantization = job.spec.quantization
    if job.spec.distributed.zero_stage != 3:
        return
    if quantization.type in FOUR_BIT and quantization.storage_type == "uint8":
        yield error(
            Code.REQUIRES,
            "quantization.storageType",
            "ZeRO-3 shares out weights of a floating-point type only",
            "Use quantization.storageType auto or bf16",
            quantization.storage_type,
        )
    if quantization.type == "int8":
        yield error(
            Code.QUANTIZATION_CONFLICT,
            "quantization.type",
            "ZeRO-3 shares out weights of a floating-point type only, and int8 has no such storage",
            "Use quantization.type nf4 with storageType auto, or distributed.zeroStage 2",
            quantization.type,
        )
        return
    yield warning(
        Code.QUANTIZED_ZERO_STAGE_THREE,
        "distributed.zeroStage",
        "shares a quantized model out only after each rank has loaded the whole of it",
        "Use zeroStage 2 where a device holds the quantized model, or quantization.type none",
        3,
    )
