"""Rules about layers that a setting does not reach, where the model's architecture is known."""

from collections.abc import Iterator
from typing import Final

from finetune_api.catalog import architecture_of
from finetune_api.catalog.architecture import Architecture
from finetune_api.job import FineTuneJob, FineTuneJobSpec
from finetune_api.method import ALL_LINEAR, MethodSpec
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, error, warning
from finetune_api.validation.rules.optimizers import PROJECTING

TRANSPOSED: Final = "gpt2"
"""The family whose layers are transformers' Conv1D rather than linear ones."""


def reach(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """Methods, quantizations and optimizers that know the model's kinds of layers, for a model that the
    catalog knows. The trainer asks again when it has read the model's configuration."""
    architecture = architecture_of(job.spec.model)
    if architecture is not None:
        yield from reach_of(job.spec, architecture)


def reach_of(spec: FineTuneJobSpec, architecture: Architecture) -> Iterator[Finding]:
    """What a job asks for that does not reach the layers of an architecture."""
    if architecture.family == TRANSPOSED and spec.quantization.type == "int4":
        yield error(
            Code.QUANTIZATION_CONFLICT,
            "quantization.type",
            "optimum-quanto takes linear layers, and those of GPT-2 are of transformers' class Conv1D",
            "Use quantization.type nf4, or int8",
            "int4",
        )
    if architecture.structure.fused_experts:
        yield from _experts(spec, architecture)


def _experts(spec: FineTuneJobSpec, architecture: Architecture) -> Iterator[Finding]:
    reached = architecture.layers * sum(linear.weights for linear in architecture.linears)
    share = f"{reached / architecture.parameters:.0%} of the weights"
    lora = spec.method.lora
    if spec.training.optimizer in PROJECTING:
        yield error(
            Code.OPTIMIZER_CONFLICT,
            "training.optimizer",
            f"projects matrices, and this model's experts are none: {share} would be projected",
            "Use optimizer adamw8bit or adafactor",
            spec.training.optimizer,
        )
    if spec.quantization.type != "none":
        yield warning(
            Code.UNREACHED_EXPERTS,
            "quantization.type",
            f"leaves the experts whole, which are one parameter, not linear layers: {share} are quantized",
            "Count on the memory of a base that is not quantized, or use a model without experts",
            spec.quantization.type,
        )
    if spec.method.uses_adapters and lora.target_modules == [ALL_LINEAR] and lora.target_pattern is None:
        yield from _adapted_experts(spec.method, architecture)
    if spec.method.type == "spectrum":
        yield warning(
            Code.UNREACHED_EXPERTS,
            "method.type",
            "ranks matrices, and the experts are parameters of three dimensions: they stay frozen",
            "Use method.type full or freeze to train experts",
            spec.method.type,
        )


def _adapted_experts(method: MethodSpec, architecture: Architecture) -> Iterator[Finding]:
    """PEFT adapts such experts as all-linear's, with the plainest of adapters."""
    lora = method.lora
    attention = ", ".join(linear.name for linear in architecture.attention_linears)
    named = f"name the modules of the attention in method.lora.targetModules: [{attention}]"
    if lora.dropout > 0:
        yield error(
            Code.CONFLICT,
            "method.lora.dropout",
            "all-linear takes in experts that are one parameter, whose adapters can't have dropout",
            f"Use 0, or {named}",
            lora.dropout,
        )
    if method.type == "dora":
        yield error(
            Code.CONFLICT,
            "method.type",
            "all-linear takes in this model's experts, and PEFT has no dora for experts in one parameter",
            f"Use method.type lora, or {named}",
            method.type,
        )
    if method.type == "pissa" or lora.initialization not in ("auto", "default", "gaussian"):
        yield error(
            Code.CONFLICT,
            "method.lora.initialization",
            "starts from matrices, and all-linear takes in this model's experts, which are one parameter",
            f"Use method.type lora with initialization default, or {named}",
            lora.initialization,
        )
