"""Rules about `spec.quantization`."""

from collections.abc import Iterator
from typing import Final

from finetune_api.job import FineTuneJob
from finetune_api.quantization import QuantizationSpec
from finetune_api.rules_over_sections import DORA_ALLOWED, QUANTIZED_IS_FROZEN
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, broken, error, warning
from finetune_api.validation.rules.common import uses_deepspeed

FOUR_BIT: Final = ("int4", "nf4", "fp4")
PACKED_FLOATS: Final = ("nf4", "fp4")
"""4-bit floating point of bitsandbytes, whose packed bits may be held under another type."""


def quantization(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """A quantization that the method can train on, and settings that belong to its type."""
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
    if kind == "dora":
        yield from _dora(job)
    if not job.spec.method.uses_adapters:
        yield broken(Code.QUANTIZATION_CONFLICT, QUANTIZED_IS_FROZEN, quantization.type)
    if quantization.type == "auto":
        return
    yield from _settings(quantization)
    yield from _storage(job)
    if quantization.type == "int4":
        yield from _int4(job)
    if job.spec.distributed.stage_of_zero == 3:
        yield from _zero3(quantization)


def _conflict(value: str, why: str, remedy: str) -> Finding:
    return error(Code.QUANTIZATION_CONFLICT, "quantization.type", why, remedy, value)


def _dora(job: FineTuneJob) -> Iterator[Finding]:
    quantization = job.spec.quantization
    if not quantization.allow_dora:
        yield broken(Code.QUANTIZATION_CONFLICT, DORA_ALLOWED, quantization.type)
    elif quantization.type in PACKED_FLOATS and job.spec.distributed.stage_of_zero == 3:
        yield _conflict(
            quantization.type,
            "dora unpacks a copy of the base's weights, which ZeRO-3 knows nothing of",
            "Use distributed.zeroStage 2, or method.type lora",
        )


def _int4(job: FineTuneJob) -> Iterator[Finding]:
    if uses_deepspeed(job.spec):
        yield _conflict(
            "int4",
            "DeepSpeed moves and casts every weight, and those of optimum-quanto can be neither",
            "Use quantization.type nf4, or distributed.engine torch",
        )
    if job.spec.model.load_precision == "fp16":
        yield error(
            Code.QUANTIZATION_CONFLICT,
            "model.loadPrecision",
            "int4 in fp16 wants kernels of optimum-quanto that a CUDA compiler must build, and the trainer's "
            "image holds none",
            "Use model.loadPrecision auto",
            "fp16",
        )


def _settings(quantization: QuantizationSpec) -> Iterator[Finding]:
    if quantization.type in PACKED_FLOATS:
        return
    for field, value in (
        ("computeType", quantization.compute_type),
        ("storageType", quantization.storage_type),
    ):
        if value != "auto":
            yield error(
                Code.CONFLICT,
                f"quantization.{field}",
                f"belongs to nf4 and fp4, and quantization.type is {quantization.type}",
                f"Remove quantization.{field}, or use quantization.type nf4",
                value,
            )


def _storage(job: FineTuneJob) -> Iterator[Finding]:
    storage, precision = job.spec.quantization.storage_type, job.spec.training.precision
    if storage in ("auto", "uint8", precision) or not uses_deepspeed(job.spec):
        return
    yield error(
        Code.CONFLICT,
        "quantization.storageType",
        f"DeepSpeed casts the model to training.precision {precision}, which would change the packed bits",
        "Use quantization.storageType auto, or the type of training.precision",
        storage,
    )


def _zero3(quantization: QuantizationSpec) -> Iterator[Finding]:
    if quantization.type == "int8":
        yield _conflict(
            "int8",
            "ZeRO-3 shares out weights of a floating-point type only, and these are integers",
            "Use quantization.type nf4, or distributed.zeroStage 2",
        )
    if quantization.type not in PACKED_FLOATS:
        return
    if quantization.storage_type == "uint8":
        yield error(
            Code.REQUIRES,
            "quantization.storageType",
            "ZeRO-3 shares out weights of a floating-point type only",
            "Use quantization.storageType auto or bf16",
            quantization.storage_type,
        )
    yield warning(
        Code.QUANTIZED_ZERO_STAGE_THREE,
        "distributed.zeroStage",
        "shares a quantized model out only after each rank has loaded the whole of it",
        "Use zeroStage 2 where a device holds the quantized model, or quantization.type none",
        3,
    )
