"""Settings that nothing reads beside the others. They are told by values other than the default: an API
server fills defaults in, so that nothing says who wrote them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from finetune_api.dataset import DatasetSpec
from finetune_api.evaluation import BenchmarkSpec
from finetune_api.job import FineTuneJob
from finetune_api.method import MethodSpec
from finetune_api.quantization import QuantizationSpec
from finetune_api.training import Optimizer, TrainingSpec
from finetune_api.validation.codes import Code
from finetune_api.validation.fields import default_at, plain, value_at
from finetune_api.validation.findings import Finding, warning
from finetune_api.validation.rules.dataset import COLUMNS_READ

_OF_QUANTIZED: Final = ("computeType", "storageType", "doubleQuantization", "skipModules")
_OF_LORA: Final = (
    "rank",
    "alpha",
    "dropout",
    "targetModules",
    "targetPattern",
    "bias",
    "modulesToSave",
    "layersToTransform",
    "rankStabilized",
    "initialization",
    "pissaIterations",
)
"""Fields of adapters that no other rule refuses without them."""

_OF_ADAM: Final = ("adamBeta1", "adamBeta2", "adamEpsilon")
_NO_ADAM: Final[frozenset[Optimizer]] = frozenset(
    {
        "adafactor",
        "adagrad",
        "galoreAdafactor",
        "rmsprop",
        "rmsprop8bit",
        "rmspropBnb",
        "scheduleFreeSgd",
        "sgd",
    }
)
"""Optimizers with settings of their own, which are their libraries'."""

_OF_BENCHMARK: Final[Mapping[str, tuple[str, ...]]] = {
    "lmEvaluationHarness": ("tasks", "fewShot", "allowCodeExecution"),
    "humanEval": ("prompts", "maxNewTokens", "allowCodeExecution"),
    "prompts": ("prompts", "fewShot", "match", "maxNewTokens"),
}
"""What each type of benchmark reads, beside its name and maxSamples."""


def effect(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """A warning for each setting without effect."""
    yield from _quantization(job.spec.quantization)
    yield from _method(job.spec.method)
    yield from _optimizer(job.spec.training)
    yield from _columns(job.spec.dataset)
    for index, benchmark in enumerate(job.spec.evaluation.benchmarks):
        yield from _benchmark(benchmark, f"evaluation.benchmarks[{index}]")


def _quantization(spec: QuantizationSpec) -> Iterator[Finding]:
    if spec.type == "none":
        why, remedy = "quantization.type is none", "set quantization.type, such as nf4"
        yield from _unread(spec, "quantization", _OF_QUANTIZED, why, remedy)
    elif spec.type in ("int8", "int4"):
        why, remedy = f"belongs to nf4 and fp4, and the type is {spec.type}", "use quantization.type nf4"
        yield from _unread(spec, "quantization", ("doubleQuantization",), why, remedy)


def _method(spec: MethodSpec) -> Iterator[Finding]:
    lora, path = spec.lora, "method.lora"
    if not spec.uses_adapters:
        why, remedy = f"method.type {spec.type} has no adapters", "use method.type lora"
        yield from _unread(lora, path, _OF_LORA, why, remedy)
    else:
        if lora.target_pattern is not None:
            why, remedy = "targetPattern replaces it", "remove targetPattern"
            yield from _unread(lora, path, ("targetModules",), why, remedy)
        if lora.initialization != "pissa" and spec.type != "pissa":
            why, remedy = "adapters do not start as pissa", "use initialization pissa"
            yield from _unread(lora, path, ("pissaIterations",), why, remedy)
    if spec.spectrum is not None and spec.spectrum.layers:
        why, remedy = "layers are named", "remove method.spectrum.layers"
        yield from _unread(spec.spectrum, "method.spectrum", ("topFraction",), why, remedy)
    if spec.freeze is not None and spec.freeze.layers:
        why, remedy = "layers are named", "remove method.freeze.layers"
        yield from _unread(spec.freeze, "method.freeze", ("trainableLayers", "fromLayer"), why, remedy)


def _optimizer(spec: TrainingSpec) -> Iterator[Finding]:
    unread: tuple[str, ...] = _OF_ADAM if spec.optimizer in _NO_ADAM else ()
    if "lion" in spec.optimizer.lower():
        unread = ("adamEpsilon",)
    yield from _unread(spec, "training", unread, f"{spec.optimizer} has none", "use training.optimizer adamw")


def _columns(spec: DatasetSpec) -> Iterator[Finding]:
    if (read := COLUMNS_READ.get(spec.format)) is not None:
        known = (to_camel(name) for name in type(spec.columns).model_fields)
        unread = [name for name in known if name not in (*read, "length")]
        why = f"dataset.format {spec.format} has no such column"
        yield from _unread(spec.columns, "dataset.columns", unread, why, "use dataset.format custom")


def _benchmark(spec: BenchmarkSpec, path: str) -> Iterator[Finding]:
    read = _OF_BENCHMARK[spec.type]
    every = dict.fromkeys(field for fields in _OF_BENCHMARK.values() for field in fields)
    why = f"a benchmark of type {spec.type} does not read it"
    yield from _unread(spec, path, [field for field in every if field not in read], why, "use another type")


def _unread(spec: BaseModel, path: str, fields: Sequence[str], why: str, remedy: str) -> Iterator[Finding]:
    for field in fields:
        value = value_at(spec, field)
        if value != default_at(type(spec), field):
            yield warning(
                Code.WITHOUT_EFFECT,
                f"{path}.{field}",
                f"has no effect: {why}",
                f"Remove it, or {remedy}",
                plain(value),
            )
