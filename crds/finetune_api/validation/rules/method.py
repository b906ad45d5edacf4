"""Rules about `spec.method` and `spec.quantization`."""

from collections.abc import Iterator

from finetune_api.job import FineTuneJob
from finetune_api.method import ALL_LINEAR, LoraSpec
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, error, warning
from finetune_api.validation.rules.common import pattern, patterns

FOUR_BIT = ("int4", "nf4", "fp4")


def method(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """Adapter settings that mean something, and a quantization that the method can train on."""
    spec = job.spec.method
    yield from _lora(spec.lora)
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
    if lora.embedding_learning_rate is not None and lora.learning_rate_ratio is None:
        yield error(
            Code.REQUIRES,
            "method.lora.embeddingLearningRate",
            "is a part of LoRA+, and learningRateRatio is not set",
            "Set method.lora.learningRateRatio, such as 16",
            lora.embedding_learning_rate,
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
    if not job.spec.method.uses_adapters:
        yield error(
            Code.QUANTIZATION_CONFLICT,
            "quantization.type",
            f"quantized weights can't be trained, as method.type {kind} would",
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
