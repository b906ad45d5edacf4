"""Packing changes what is computed side by side, not what is learned."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api import ResolvedJob
from finetune_trainer.errors import InterruptedRunError
from finetune_trainer.interruption import StopRequest
from finetune_trainer.reporting import Reporter
from one_rank import StopAfter
from one_rank import train as train_one_rank

MakeJob = Callable[..., ResolvedJob]

pytestmark = pytest.mark.slow

ALL_RECORDS = {"microBatchSize": 20, "gradientAccumulationSteps": 1}
"""A step takes all 20 records, packed or not; places that packs leave free are fillers."""


def train(job: ResolvedJob, reporter: Reporter | None = None, stop: StopRequest | None = None) -> list[float]:
    """The loss of each step."""
    train_one_rank(job, reporter, stop)
    lines = (Path(job.paths.run_directory) / "metrics.jsonl").read_text().splitlines()
    return [line["loss"] for line in map(json.loads, lines) if "loss" in line]


@pytest.fixture
def packed(make_job: MakeJob, tmp_path: Path) -> Callable[..., ResolvedJob]:
    def make(name: str, *, packing: bool = True, **training: Any) -> ResolvedJob:
        spec = {"dataset": {"packing": packing}, "training": ALL_RECORDS | training}
        return make_job(spec, run_directory=tmp_path / name)

    return make


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_packed_and_unpacked_runs_have_the_same_losses(
    make_job: MakeJob, tiny_model: Path, tmp_path: Path, attention: str
) -> None:
    curves = []
    for packing in (False, True):
        spec = {
            "model": {"path": str(tiny_model), "attention": attention},
            "dataset": {"packing": packing},
            "training": ALL_RECORDS,
        }
        curves.append(train(make_job(spec, run_directory=tmp_path / str(packing))))
    assert len(curves[0]) == 4
    assert curves[0][-1] < curves[0][0]
    assert curves[1] == pytest.approx(curves[0], rel=1e-5)


def test_accumulating_packs_changes_nothing(packed: Callable[..., ResolvedJob]) -> None:
    whole = train(packed("whole"))
    in_parts = train(packed("parts", microBatchSize=2, gradientAccumulationSteps=10))
    assert in_parts == pytest.approx(whole, rel=1e-5)


def test_a_packed_run_goes_on_as_if_nothing_had_happened(packed: Callable[..., ResolvedJob]) -> None:
    settings = {"microBatchSize": 1, "gradientAccumulationSteps": 2}
    expected = train(packed("whole", **settings))
    reporter = Reporter([])
    job = packed("stopped", **settings)
    with pytest.raises(InterruptedRunError):
        train(job, reporter, StopAfter(reporter, 3))
    assert train(job) == expected
