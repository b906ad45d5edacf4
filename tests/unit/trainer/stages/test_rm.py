"""rm: a model that scores the preferred answer higher, and can be loaded as such."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from finetune_api.stages import RewardModelSpec
from finetune_trainer.stages.rm import BradleyTerry
from one_rank import train
from stage_runs import MakeJob, curve

ONCE = {"checkpoints": {"everySteps": 0}}


def scored(*scores: float) -> Any:
    """A model that gives these scores, whatever it reads."""
    return lambda **_inputs: SimpleNamespace(logits=torch.tensor(scores).unsqueeze(-1))


def batch(*learned: bool) -> dict[str, torch.Tensor]:
    """Rows of two tokens; a filler has no label."""
    labels = torch.tensor([[-100, 1 if real else -100] for real in learned])
    return {"input_ids": labels, "attention_mask": labels, "labels": labels}


def test_the_loss_is_that_of_bradley_and_terry() -> None:
    outcome = BradleyTerry(RewardModelSpec()).loss(scored(2.0, 1.0, 0.5, 1.5), batch(*[True] * 4))
    expected = -torch.nn.functional.logsigmoid(torch.tensor([1.5, -0.5])).sum()
    torch.testing.assert_close(outcome.total, expected)
    assert outcome.measured["rewardAccuracy"].tolist() == [True, False]


def test_rewards_are_kept_around_zero_where_that_is_asked_for() -> None:
    plain, centered = (
        BradleyTerry(RewardModelSpec(center_rewards_coefficient=weight)).loss(
            scored(3.0, 1.0), batch(True, True)
        )
        for weight in (0.0, 0.5)
    )
    assert float(centered.total - plain.total) == pytest.approx(0.5 * 4.0**2)


def test_fillers_do_not_count() -> None:
    objective = BradleyTerry(RewardModelSpec())
    rows = batch(True, False, True, False)
    outcome = objective.loss(scored(1.0, 5.0, 0.0, 9.0), rows)
    assert int(objective.items(rows)) == 1
    assert outcome.measured["rewardChosen"].tolist() == [1.0]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_run_leaves_a_model_that_scores(stage_job: MakeJob, tiny_model: Path, method: str) -> None:
    job = stage_job("rm", ONCE | {"method": {"type": method}, "training": {"maxSteps": 15}})
    result = train(job)
    accuracy, margin = curve(job, "rewardAccuracy"), curve(job, "rewardMargin")
    assert accuracy[15] == 1
    assert margin[15] > margin[1] + 0.5
    assert result.output is not None
    assert result.output.verified
    output = Path(job.paths.output_directory)
    model: Any
    if method == "full":
        model = AutoModelForSequenceClassification.from_pretrained(output / "model")
    else:
        from peft import PeftModel

        base = AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=1)
        model = PeftModel.from_pretrained(base, output / "adapter")
    assert model(torch.tensor([[1, 2, 3]])).logits.shape == (1, 1)


@pytest.mark.slow
def test_the_new_head_starts_alike_in_every_run(stage_job: MakeJob, tmp_path: Path) -> None:
    """Whatever random numbers the process has drawn before."""
    found = []
    for name in ("one", "two"):
        job = stage_job("rm", ONCE | {"training": {"maxSteps": 2}}, run_directory=tmp_path / name)
        train(job)
        torch.rand(7)
        found.append((curve(job), curve(job, "rewardChosen")))
    assert found[0] == found[1]


@pytest.mark.slow
def test_adapters_of_a_base_without_a_padding_token_are_proved(
    stage_job: MakeJob, tiny_model: Path, tmp_path: Path
) -> None:
    """Training takes the end token for padding, so that the score is that of the token before the end."""
    place = tmp_path / "base"
    shutil.copytree(tiny_model, place)
    tokenizer = AutoTokenizer.from_pretrained(place)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(place)
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(config | {"pad_token_id": None}))
    short = {"maxSteps": 1, "gradientAccumulationSteps": 1}
    spec = {"model": {"path": str(place)}, "method": {"type": "lora"}, "training": short}
    result = train(stage_job("rm", ONCE | spec))
    assert result.output is not None
    assert result.output.verified
