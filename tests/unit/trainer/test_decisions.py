"""Every field that may say `auto` ends with a decision in `status.effective`, wherever it applies."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from finetune_api import FineTuneJobSpec, ResolvedJob
from finetune_api.base import AUTO_PATTERN
from finetune_api.crd import structural_schema
from finetune_api.protocol import FineTuneReport
from finetune_trainer.data.dataset import DataFacts
from finetune_trainer.decisions import decisions
from finetune_trainer.effective import effective
from finetune_trainer.output.merge import Base

MakeJob = Callable[..., ResolvedJob]

QLORA_MERGED: dict[str, Any] = {
    "method": {"type": "qlora"},
    "quantization": {"type": "nf4"},
    "output": {"mergeAdapter": True},
}
"""A job to which every field applies."""


def automatic_fields(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Paths of the fields whose schema allows `auto`."""
    if "auto" in schema.get("enum", ()) or schema.get("pattern") == AUTO_PATTERN:
        yield path.removeprefix(".")
    for name, field in schema.get("properties", {}).items():
        yield from automatic_fields(field, f"{path}.{name}")
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), dict):
            yield from automatic_fields(schema[inner], f"{path}.*")


AUTOMATIC = sorted(automatic_fields(structural_schema(FineTuneJobSpec)))


NAMES = {
    "output.precision": "outputPrecision",
    "quantization.type": "quantization",
    "distributed.zeroStage": "strategy",
}
"""What is not called as the field is."""


def key(path: str) -> str:
    """Where the status says what became of a field."""
    return NAMES.get(path, path.rpartition(".")[2])


def facts(job: ResolvedJob, base: Path, resumed_step: int | None = None) -> dict[str, str]:
    """What a run of this job tells the status."""
    counts = DataFacts(2**40, 2**40, 2**50, 2**50, truncated=2**40, cut_tokens=2**50, unsupervised=2**40)
    data: Any = SimpleNamespace(facts=counts)
    said = effective(job, "fp32", data, None, "sdpa")
    return said | decisions(job, "fp32", Base(str(base)), resumed_step)


def test_the_walk_finds_the_fields() -> None:
    assert len(AUTOMATIC) >= 15
    assert {"model.loadPrecision", "method.lora.taskType", "training.microBatchSize"} <= set(AUTOMATIC)


@pytest.mark.parametrize("path", AUTOMATIC)
def test_what_was_decided_is_said_for_every_field_that_may_say_auto(
    make_job: MakeJob, tiny_model: Path, path: str
) -> None:
    said = facts(make_job(QLORA_MERGED), tiny_model)
    assert said[key(path)] not in ("", "auto")


def test_what_does_not_apply_is_left_out(make_job: MakeJob, tiny_model: Path) -> None:
    kept = {key(path) for path in AUTOMATIC}
    of_quantized = {"computeType", "storageType"}
    full = facts(make_job(), tiny_model)
    assert kept - full.keys() == of_quantized | {"initialization", "taskType"}
    lora = facts(make_job({"method": {"type": "lora"}}), tiny_model)
    assert kept - lora.keys() == of_quantized | {"outputPrecision"}
    drawn = make_job({"training": {"stage": "grpo"}})
    assert kept - facts(drawn, tiny_model).keys() == kept - full.keys() | {"supervise"}


@pytest.mark.parametrize(
    ("spec", "path", "decided"),
    [
        ({}, "loadPrecision", "fp32"),
        ({}, "engine", "torch"),
        ({"distributed": {"zeroStage": 2}}, "engine", "deepspeed"),
        ({"distributed": {"backend": "gloo"}}, "backend", "gloo"),
        ({"method": {"type": "pissa"}}, "initialization", "pissa"),
        ({"method": {"type": "lora", "lora": {"initialization": "olora"}}}, "initialization", "olora"),
        ({"method": {"type": "lora"}}, "taskType", "causalLm"),
        ({"method": {"type": "lora"}, "training": {"stage": "rm"}}, "taskType", "sequenceClassification"),
        ({"training": {"stage": "sft"}}, "supervise", "answers"),
        ({"training": {"stage": "pretrain"}}, "supervise", "all"),
        (QLORA_MERGED, "computeType", "fp32"),
        (QLORA_MERGED, "storageType", "uint8"),
        (QLORA_MERGED, "outputPrecision", "bf16"),
        ({"output": {"precision": "fp16"}}, "outputPrecision", "fp16"),
    ],
)
def test_the_decision_is_that_of_the_run(
    make_job: MakeJob, tiny_model: Path, spec: dict[str, Any], path: str, decided: str
) -> None:
    assert facts(make_job(spec), tiny_model)[path] == decided


@pytest.mark.parametrize(("step", "said"), [(None, "from the start"), (0, "from step 0"), (7, "from step 7")])
def test_it_is_said_where_the_run_started(
    make_job: MakeJob, tiny_model: Path, step: int | None, said: str
) -> None:
    assert facts(make_job(), tiny_model, step)["resume"] == said


def test_the_facts_leave_room_in_a_report_and_in_the_status(make_job: MakeJob, tiny_model: Path) -> None:
    said = facts(make_job(QLORA_MERGED), tiny_model)
    report = FineTuneReport(effective=said)
    assert len(report.effective) + len(("dropout", "packedRecords")) <= 32
    assert len(str(said)) < 1300, "a typical status stays under 4 KiB"
