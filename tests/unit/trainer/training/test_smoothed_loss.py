"""The loss with smoothed labels, whatever the model is called, and of models that do not count tokens."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import log_softmax
from transformers import AutoModelForCausalLM

from finetune_trainer.training.smoothed_loss import SmoothedLoss, smoothed_loss


@pytest.mark.parametrize("model", ["tiny_model", "tiny_gpt2", "tiny_mixtral"])
def test_what_is_not_smoothed_is_left_to_the_model(request: pytest.FixtureRequest, model: str) -> None:
    directory: Path = request.getfixturevalue(model)
    assert smoothed_loss(0.0, AutoModelForCausalLM.from_pretrained(directory)) is None


def test_it_is_not_left_to_a_model_with_code_of_its_own() -> None:
    assert smoothed_loss(0.0, torch.nn.Linear(1, 1)) == SmoothedLoss(0.0)


def test_a_share_of_each_target_is_spread_over_all_tokens() -> None:
    logits = torch.randn((2, 4, 5), generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([[3, 1, -100, 2], [4, -100, -100, -100]])
    loss = SmoothedLoss(0.2)

    scores = log_softmax(logits, dim=-1)
    # a label is predicted from the token before it; that of a row's first token by nothing
    predicted = [(0, 0, 1), (0, 2, 2)]
    expected = -sum(
        0.8 * scores[row, place, wanted] + 0.2 * scores[row, place].mean() for row, place, wanted in predicted
    )
    assert float(loss({"logits": logits}, labels, 8)) == pytest.approx(float(expected) / 8)
