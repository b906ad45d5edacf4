"""dpo: whole runs. What its losses compute is in `test_preference_losses.py`."""

from pathlib import Path
from typing import Any

import pytest
import torch

from finetune_trainer.reporting import Reporter
from one_rank import DiesAt, Killed, train
from runs import losses, output_weights, run
from stage_runs import MakeJob, curve, weights

pytestmark = pytest.mark.slow

FULL: dict[str, Any] = {"method": {"type": "full"}}
LORA: dict[str, Any] = {"method": {"type": "lora", "lora": {"dropout": 0.1}}}
ONCE = {"checkpoints": {"everySteps": 0}}


@pytest.mark.parametrize("method", [FULL, LORA], ids=["full", "lora"])
def test_the_preferred_answer_becomes_likelier_than_the_other(
    stage_job: MakeJob, method: dict[str, Any]
) -> None:
    job = stage_job("dpo", method | ONCE | {"training": {"maxSteps": 12}})
    reporter = Reporter([])
    result = train(job, reporter)
    loss, margin, accuracy = (curve(job, name) for name in ("loss", "rewardMargin", "rewardAccuracy"))
    # at the start both models are the same: no margin, and ln 2
    assert (loss[1], margin[1]) == (pytest.approx(0.6931, abs=1e-4), pytest.approx(0, abs=1e-5))
    assert margin[12] > 0.2
    assert accuracy[12] >= 0.75
    assert loss[12] < 0.65
    assert float(result.metrics["rewardMargin"]) == pytest.approx(margin[12], rel=1e-4)
    assert "perplexity" not in result.metrics
    assert reporter.report.effective["sequences"] == "40"


def test_a_loss_without_reference_prefers_the_preferred_answer_too(stage_job: MakeJob) -> None:
    settings = {"lossType": "orpo", "sftWeight": 0.1}
    job = stage_job("dpo", ONCE | {"training": {"maxSteps": 8, "dpo": settings}})
    train(job)
    margin = curve(job, "rewardMargin")
    assert margin[8] > margin[1]


@pytest.mark.parametrize("method", [FULL, LORA], ids=["full", "lora"])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    stage_job: MakeJob, tmp_path: Path, method: dict[str, Any]
) -> None:
    spec = method | {"training": {"maxSteps": 7, "loggingSteps": 2}}
    whole = stage_job("dpo", spec, run_directory=tmp_path / "whole")
    killed = stage_job("dpo", spec)
    train(whole)
    with pytest.raises(Killed):
        train(killed, DiesAt(6))
    again = stage_job("dpo", spec, attempt=2)
    assert train(again).resumed_step == 4
    for name in ("loss", "rewardMargin", "logProbabilityChosen"):
        assert curve(again, name) == curve(whole, name)
    one, two = weights(again), weights(whole)
    assert all(torch.equal(one[name], two[name]) for name in two)


def test_evaluation_measures_what_training_does_and_chooses_the_best(stage_job: MakeJob) -> None:
    spec = {
        "dataset": {"evalSplit": 0.2},
        "evaluation": {"everySteps": 2},
        "training": {"maxSteps": 4},
        "checkpoints": {"metric": "rewardMargin", "greaterIsBetter": True, "everySteps": 2},
    }
    job = stage_job("dpo", spec)
    result = train(job)
    margin = curve(job, "evalRewardMargin")
    assert list(margin) == list(curve(job, "evalLoss")) == [2, 4]
    assert curve(job, "evalPerplexity") == {}
    assert result.checkpoints is not None
    assert result.checkpoints.best is not None
    assert (result.checkpoints.best.metric, result.checkpoints.best.step) == ("rewardMargin", 4)


@pytest.mark.parametrize(("method", "zero"), [("lora", 2), ("full", 3)])
def test_two_ranks_compute_what_one_does(stage_job: MakeJob, tmp_path: Path, method: str, zero: int) -> None:
    """20 pairs in steps of 8: the last step of an epoch has 4, and fillers."""
    spec = {"method": {"type": method, **({"lora": {"dropout": 0.0}} if method == "lora" else {})}} | ONCE
    training = {"microBatchSize": 2, "gradientAccumulationSteps": 4, "maxSteps": 4}
    alone = stage_job("dpo", spec | {"training": training}, run_directory=tmp_path / "alone")
    train(alone)
    both = {"distributed": {"processesPerNode": 2, "zeroStage": zero}}
    job = stage_job("dpo", spec | both | {"training": training | {"gradientAccumulationSteps": 2}})
    run(job, tmp_path / "b")
    assert losses(job) == [(step, pytest.approx(loss, rel=1e-4)) for step, loss in curve(alone).items()]
    assert curve(job, "rewardMargin")[4] == pytest.approx(curve(alone, "rewardMargin")[4], rel=1e-3)
    assert output_weights(job)
