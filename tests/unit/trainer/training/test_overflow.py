"""fp16: a gradient that is too large for the loss scale skips its step, and no more.

accelerate has no fp16 on CPU, so its two parts are put together here: torch's autocast and its `GradScaler`,
which are the same on CPU, in the places where accelerate puts them on a GPU.
"""

import json
from collections.abc import Callable
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from finetune_api import ResolvedJob
from finetune_trainer import assembly
from finetune_trainer.engines import native
from finetune_trainer.errors import DivergedError, InterruptedRunError
from finetune_trainer.reporting import Reporter
from finetune_trainer.training.guards import MAX_OVERFLOWS
from finetune_trainer.training.trainer import FineTuneTrainer
from one_rank import StopAfter, train

MakeJob = Callable[..., ResolvedJob]

pytestmark = pytest.mark.slow


@pytest.fixture
def fp16(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Trains in fp16, from the given loss scale on."""

    def scaled_by(scale: float) -> None:
        class Scaled(FineTuneTrainer):
            def create_accelerator_and_postprocess(self) -> None:
                super().create_accelerator_and_postprocess()
                assert self.accelerator.mixed_precision == "fp16"
                self.accelerator.native_amp = True
                self.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale)

        monkeypatch.setattr(assembly, "FineTuneTrainer", Scaled)
        monkeypatch.setattr(native, "effective_precision", lambda _job: "fp16")

    return scaled_by


def lines(job: ResolvedJob) -> list[dict[str, Any]]:
    found = (Path(job.paths.run_directory) / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k in KEPT} for line in found]


KEPT = ("step", "loss", "gradNorm", "skippedSteps", "learningRate")
SPEC: dict[str, Any] = {"training": {"maxSteps": 30}, "checkpoints": {"everySteps": 0}}
TOO_LARGE = 2.0**30


def test_a_step_that_overflows_is_skipped_and_counted_and_training_goes_on(
    make_job: MakeJob, fp16: Callable[[float], None], tmp_path: Path
) -> None:
    fp16(TOO_LARGE)
    whole, stopped = make_job(SPEC, run_directory=tmp_path / "whole"), make_job(SPEC)
    assert train(whole).outcome == "succeeded"
    curve = lines(whole)
    skipped = ["gradNorm" not in line for line in curve]
    assert all(skipped[:3]), "each halves the scale"
    assert 3 < sum(skipped) < 25, "until it is small enough"
    assert [line["skippedSteps"] for line in curve] == list(accumulate(skipped))
    rates = [line["learningRate"] for line in curve]
    after = [new == old for old, new in pairwise(rates)]
    assert after == skipped[:-1], "a skipped step is none of the schedule's"
    assert curve[-1]["loss"] < 0.9 * curve[0]["loss"]

    reporter = Reporter([])
    with pytest.raises(InterruptedRunError, match="stopped after step 3"):
        train(stopped, reporter, StopAfter(reporter, 3))
    assert train(make_job(SPEC, attempt=2)).resumed_step == 3
    assert lines(stopped) == curve
    weights = [
        load_file(Path(job.paths.output_directory) / "model" / "model.safetensors")
        for job in (whole, stopped)
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_an_overflow_that_no_scale_mends_ends_the_run(
    make_job: MakeJob, fp16: Callable[[float], None]
) -> None:
    fp16(2.0**120)
    spec = {"training": {"maxSteps": MAX_OVERFLOWS + 5}, "checkpoints": {"everySteps": 0}}
    with pytest.raises(DivergedError, match=rf"step {MAX_OVERFLOWS + 1}: .* gradient norm not finite"):
        train(make_job(spec))
