"""Gradient checkpointing computes activations a second time, and nothing else: the losses stay the same."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers.models.llama.modeling_llama import LlamaMLP

import runs
from finetune_api import ResolvedJob
from one_rank import train

MakeJob = Callable[..., ResolvedJob]

pytestmark = pytest.mark.slow

STEPS = 2
"""Each takes all 20 records, so that its loss tells what the step before has changed."""

ADAPTED: dict[str, dict[str, Any]] = {
    "lora": {"method": {"type": "lora"}},
    "qlora": {"method": {"type": "qlora"}, "quantization": {"type": "nf4"}},
    "dora": {"method": {"type": "dora"}},
    "packed": {"method": {"type": "lora"}, "dataset": {"packing": True}},
}


def checkpointing(spec: dict[str, Any], kind: str, **training: Any) -> dict[str, Any]:
    return spec | {
        "training": {
            "gradientCheckpointing": kind,
            "maxSteps": STEPS,
            "microBatchSize": 20,
            "gradientAccumulationSteps": 1,
            # the first step counts
            "schedule": {"type": "constant", "warmupRatio": 0.0},
            **training,
        },
        "checkpoints": {"everySteps": 0},
    }


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One entry for every pass through a layer."""
    made: list[None] = []
    forward = LlamaMLP.forward

    def counted(layer: LlamaMLP, *args: Any, **kwargs: Any) -> Any:
        made.append(None)
        return forward(layer, *args, **kwargs)

    monkeypatch.setattr(LlamaMLP, "forward", counted)
    return made


@pytest.mark.parametrize("name", ADAPTED)
def test_adapters_learn_the_same_with_and_without(
    make_job: MakeJob, tmp_path: Path, passes: list[None], name: str
) -> None:
    """Dropout of the adapters is on: it is drawn again as it was."""
    curves, counts = [], []
    for kind in ("none", "full"):
        job = make_job(checkpointing(ADAPTED[name], kind), run_directory=tmp_path / kind)
        passes.clear()
        train(job)
        curves.append(runs.losses(job))
        counts.append(len(passes))
    assert len(curves[0]) == STEPS
    assert curves[0][1][1] < curves[0][0][1], "it has learned something"
    assert curves[1] == [(step, pytest.approx(loss, rel=1e-6)) for step, loss in curves[0]]
    layers = 2
    assert counts[1] - counts[0] == layers * STEPS, "each layer is passed once more"


def test_adapters_under_zero_3_learn_as_one_process_does_without(make_job: MakeJob, tmp_path: Path) -> None:
    spec = {"method": {"type": "lora", "lora": {"dropout": 0.0}}}
    alone = make_job(checkpointing(spec, "none"), run_directory=tmp_path / "alone")
    train(alone)
    shared = {**spec, "distributed": {"processesPerNode": 2, "zeroStage": 3}}
    job = make_job(checkpointing(shared, "full", microBatchSize=10))
    runs.run(job, tmp_path / "ranks")
    assert runs.losses(job) == [(step, pytest.approx(loss, rel=1e-4)) for step, loss in runs.losses(alone)]
