"""Runs that go on with other ranks, another ZeRO stage, with DeepSpeed or without: the losses go on too.

A run is trained to its end in one layout. Then all but a checkpoint in its middle is taken away, and another
layout goes on from there, and its status says that this is approximate.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from breadth import EVERYTHING
from finetune_api import ResolvedJob
from runs import losses, reported_in, run

MakeJob = Callable[..., ResolvedJob]
Curve = list[tuple[int, float]]

pytestmark = pytest.mark.slow

STEPS = 8
MIDDLE = 4
TOLERANCE = 1e-4
"""Relative difference of the losses after the change; float32 sums in another order."""

ALONE: dict[str, Any] = {}
ZERO_2 = {"processesPerNode": 2, "zeroStage": 2}
ZERO_3 = {"processesPerNode": 2, "zeroStage": 3}
STAGE_0 = {"processesPerNode": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file for all tests: where the data lies is part of what a run is."""
    records = [{"instruction": f"add {a} and {b}", "output": str(a + b)} for a in range(5) for b in range(4)]
    path = tmp_path_factory.mktemp("data") / "train.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def spec(data: Path, method: str, distributed: dict[str, Any]) -> dict[str, Any]:
    ranks = distributed.get("processesPerNode", 1)
    return {
        # without dropout, whose random numbers depend on the number of ranks
        "method": {"type": method, **({"lora": {"dropout": 0.0}} if method == "lora" else {})},
        "distributed": distributed,
        "dataset": {"train": {"path": str(data)}},
        "training": {"microBatchSize": 1, "gradientAccumulationSteps": 4 // ranks, "maxSteps": STEPS},
        "checkpoints": {"everySteps": MIDDLE, "universal": True},
    }


@pytest.fixture(scope="module")
def trained() -> dict[str, tuple[Path, Curve]]:
    return {}


@pytest.fixture
def half_done(
    make_job: MakeJob,
    data: Path,
    tmp_path_factory: pytest.TempPathFactory,
    trained: dict[str, tuple[Path, Curve]],
) -> Callable[..., tuple[Path, Curve]]:
    """A run directory with the checkpoint in the middle of a run, and the losses of all of it; each run is
    trained once for all tests of this file."""

    def make(method: str, distributed: dict[str, Any]) -> tuple[Path, Curve]:
        key = json.dumps([method, distributed])
        if key not in trained:
            directory = tmp_path_factory.mktemp("trained")
            job = make_job(spec(data, method, distributed), run_directory=directory / "run")
            run(job, directory / "log")
            shutil.rmtree(directory / "run" / "checkpoints" / f"step-{STEPS:08d}")
            trained[key] = directory / "run", losses(job)
        source, curve = trained[key]
        copy = tmp_path_factory.mktemp("half") / "run"
        shutil.copytree(source, copy)
        return copy, curve

    return make


@pytest.mark.parametrize(
    ("method", "before", "after"),
    [
        ("full", ALONE, ZERO_2),
        ("full", ALONE, ZERO_3),
        ("full", ZERO_3, ALONE),
        ("lora", ZERO_2, ALONE),
        ("lora", ZERO_2, ZERO_3),
        ("lora", ZERO_2, STAGE_0),
    ],
    ids=["1-to-zero2", "1-to-zero3", "zero3-to-1", "lora-zero2-to-1", "lora-zero2-to-3", "lora-zero2-to-0"],
)
def test_the_losses_go_on_in_another_layout(
    make_job: MakeJob,
    tmp_path: Path,
    data: Path,
    half_done: Callable[..., tuple[Path, Curve]],
    method: str,
    before: dict[str, Any],
    after: dict[str, Any],
) -> None:
    directory, curve = half_done(method, before)
    job = make_job(spec(data, method, after), attempt=2, run_directory=directory)
    result = run(job, tmp_path / "log")
    assert result.resumed_step == MIDDLE
    assert result.step == STEPS
    expected = [(step, pytest.approx(loss, rel=TOLERANCE)) for step, loss in curve]
    assert losses(job) == expected
    said = reported_in(tmp_path / "log")["effective"]["resume"]
    assert said.startswith(f"approximate: step {MIDDLE} was written by "), said


@pytest.mark.skipif(not EVERYTHING, reason="takes minutes: FINETUNE_ALL_COMBINATIONS=1 runs it")
@pytest.mark.parametrize("after", [ZERO_2, ZERO_3], ids=["zero2", "zero3"])
def test_experts_go_on_in_another_layout(
    make_job: MakeJob,
    family_model: Callable[[str], Path],
    tmp_path: Path,
    data: Path,
    after: dict[str, Any],
) -> None:
    """transformers has two names for them: those of the model, and those of its files."""
    model = {"model": {"path": str(family_model("mixtral"))}}
    whole = make_job(spec(data, "full", ALONE) | model)
    run(whole, tmp_path / "whole")
    curve = losses(whole)
    shutil.rmtree(Path(whole.paths.run_directory) / "checkpoints" / f"step-{STEPS:08d}")
    job = make_job(spec(data, "full", after) | model, attempt=2)
    assert run(job, tmp_path / "after").resumed_step == MIDDLE
    assert losses(job) == [(step, pytest.approx(loss, rel=TOLERANCE)) for step, loss in curve]
