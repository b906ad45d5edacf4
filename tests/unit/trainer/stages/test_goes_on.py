"""Runs of kto, rm, grpo and ppo that are killed: one that goes on computes what an uninterrupted one does,
bit for bit. dpo's is in `test_dpo.py`."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from finetune_api import ExitCode, ResolvedJob
from one_rank import DiesAt, Killed, train
from rewarded import PROMPTS
from runs import end_of, launched, losses, output_weights, ranks_of, run, wait_for_step
from stage_runs import MakeJob, curve, weights

pytestmark = pytest.mark.slow

LORA: dict[str, Any] = {"method": {"type": "lora", "lora": {"dropout": 0.1}}}
FULL: dict[str, Any] = {"method": {"type": "full"}}


@pytest.mark.parametrize(("stage", "method"), [("kto", LORA), ("rm", FULL)], ids=["kto-lora", "rm-full"])
def test_two_ranks_that_are_killed_go_on_exactly(
    stage_job: MakeJob, tmp_path: Path, stage: str, method: dict[str, Any]
) -> None:
    spec = method | {
        "distributed": {"processesPerNode": 2, "zeroStage": 2},
        "training": {"microBatchSize": 2, "gradientAccumulationSteps": 2, "maxSteps": 10},
        "checkpoints": {"everySteps": 2},
    }
    whole = stage_job(stage, spec, run_directory=tmp_path / "whole")
    run(whole, tmp_path / "a")
    broken = stage_job(stage, spec)
    with launched(broken, tmp_path / "b") as node:
        # past the second save: the first is committed then
        wait_for_step(broken, 5, node, tmp_path / "b")
        os.kill(ranks_of(node)[1], signal.SIGKILL)
        status, _ = end_of(node, tmp_path / "b")
    assert status == ExitCode.CRASHED
    last = run(stage_job(stage, spec, attempt=2), tmp_path / "c")
    assert last.resumed_step is not None
    assert last.resumed_step >= 2
    assert losses(broken) == losses(whole)
    assert curve(broken, "rewardChosen") == curve(whole, "rewardChosen")
    assert output_weights(broken) == output_weights(whole)
    desired, other = curve(whole, "rewardChosen"), curve(whole, "rewardRejected")
    assert desired[10] > other[10]


def test_two_ranks_of_ppo_draw_answers_and_train_one_value_head(stage_job: MakeJob, tmp_path: Path) -> None:
    judge = reward_model(stage_job, tmp_path / "judge")
    section = {"rewardModelPath": judge, "updatesPerBatch": 2, "sampling": {"maxNewTokens": 8}}
    spec = LORA | {
        "distributed": {"processesPerNode": 2, "zeroStage": 2},
        "training": {
            "maxSteps": 4,
            "microBatchSize": 4,
            "gradientAccumulationSteps": 2,
            "learningRate": 1e-3,
            "ppo": section,
        },
        "checkpoints": {"everySteps": 4},
    }
    job = stage_job("ppo", spec, records=PROMPTS, format_="alpaca")
    run(job, tmp_path / "a")
    assert list(curve(job, "reward")) == [1, 2, 3, 4]
    # the first pass learns from the policy that drew; scores and advantages are those of both ranks' answers
    assert (curve(job, "clipShare")[1], curve(job, "kl")[1]) == (0, pytest.approx(0, abs=1e-5))
    (kept,) = Path(job.paths.run_directory).glob("checkpoints/*/*model.safetensors")
    heads = [weight for name, weight in load_file(kept).items() if "value_head" in name]
    assert any(bool((weight != 0).any()) for weight in heads)


def reward_model(stage_job: MakeJob, place: Path) -> str:
    """Where a model is that scores, whatever its scores are worth."""
    spec = {"training": {"maxSteps": 1}, "checkpoints": {"everySteps": 0}}
    job = stage_job("rm", spec, run_directory=place)
    train(job)
    return f"{job.paths.output_directory}/model"


def killed_and_whole(make: Callable[..., ResolvedJob], tmp_path: Path) -> tuple[ResolvedJob, ResolvedJob]:
    """A run that was killed in step 4, after the checkpoint of step 3, and went on; and one that was not."""
    whole = make(run_directory=tmp_path / "whole")
    train(whole)
    with pytest.raises(Killed):
        train(make(), DiesAt(5))
    again = make(attempt=2)
    assert train(again).resumed_step == 3
    return again, whole


def passes(section: dict[str, Any]) -> dict[str, Any]:
    """Two steps on each batch of answers; between them a checkpoint, and an evaluation, which draws too."""
    return {
        "training": {
            "maxSteps": 6,
            "microBatchSize": 8,
            "gradientAccumulationSteps": 2,
            "learningRate": 1e-3,
            **{name: {"updatesPerBatch": 2, **settings} for name, settings in section.items()},
        },
        "checkpoints": {"everySteps": 3},
        "dataset": {"evalSplit": 0.25},
        "evaluation": {"everySteps": 3},
    }


@pytest.mark.parametrize("stage", ["grpo", "ppo"])
def test_a_run_that_dies_between_two_passes_learns_from_the_same_answers(
    stage_job: MakeJob, tmp_path: Path, stage: str
) -> None:
    # long enough for some answers of an untrained model to end
    sampling = {"sampling": {"maxNewTokens": 32}}
    section: dict[str, Any] = {"rewardFunctions": ["ended", "brevity"], "groupSize": 4} | sampling
    if stage == "ppo":
        section = {"rewardModelPath": reward_model(stage_job, tmp_path / "judge")} | sampling

    def make(**kwargs: Any) -> ResolvedJob:
        spec = LORA | passes({stage: section})
        return stage_job(stage, spec, records=PROMPTS, format_="alpaca", **kwargs)

    again, whole = killed_and_whole(make, tmp_path)
    for name in ("loss", "reward", "clipShare", "answerTokens", "evalReward"):
        assert curve(again, name) == curve(whole, name)
    assert curve(again, "evalReward")[6] == pytest.approx(-curve(again, "evalLoss")[6])
    # the two passes of a batch learn from the same answers
    rewards = list(curve(whole, "reward").values())
    assert rewards[0] == rewards[1] != rewards[2] == rewards[3]
    one, two = weights(again), weights(whole)
    assert all(torch.equal(one[name], two[name]) for name in two)


def test_a_run_that_goes_on_in_smaller_micro_batches_draws_the_answers_anew(stage_job: MakeJob) -> None:
    section = {"rewardFunctions": ["ended"], "groupSize": 4, "sampling": {"maxNewTokens": 8}}
    spec = LORA | passes({"grpo": section})
    with pytest.raises(Killed):
        train(stage_job("grpo", spec, records=PROMPTS, format_="alpaca"), DiesAt(5))
    smaller = spec["training"] | {"microBatchSize": 4, "gradientAccumulationSteps": 4}
    again = stage_job("grpo", spec | {"training": smaller}, records=PROMPTS, format_="alpaca", attempt=2)
    result = train(again)
    assert (result.resumed_step, result.step) == (3, 6)
    assert list(curve(again, "answerTokens")) == [1, 2, 3, 4, 5, 6]
