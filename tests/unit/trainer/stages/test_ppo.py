"""ppo: the loss on drawn answers. What it learns is in `test_bandit.py` and `test_rewarded_runs.py`."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from finetune_api.stages import PpoSpec, SamplingSpec
from finetune_trainer.stages.ppo import ProximalPolicy
from finetune_trainer.stages.rollouts import Sampler


class Policy(torch.nn.Module):
    def value_head(self, states: torch.Tensor) -> torch.Tensor:
        return states.sum(dim=-1)


def test_the_loss_is_clipped_and_the_value_head_learns_the_return() -> None:
    """One answer of two tokens; the value head expects 0, the returns are 1 and 2."""
    hidden = torch.zeros(1, 3, 8)
    policy = Policy()
    sampler = Sampler(model=policy, tokenizer=Any, spec=SamplingSpec(), accelerator=Any, seed=1)
    labels = torch.tensor([[-100, 1, 2]])
    now = torch.full((1, 2), -1.386294)
    batch = {
        "input_ids": labels,
        "attention_mask": labels,
        "position_ids": labels,
        "labels": labels,
        "real": torch.tensor([True]),
        "ended": torch.tensor([True]),
        "reward": torch.tensor([0.3]),
        "before": now - torch.tensor([[0.5, 0.0]]),
        "reference": now - torch.tensor([[0.5, 1.0]]),
        "value": torch.zeros(1, 2),
        "advantage": torch.tensor([[1.0, -1.0]]),
        "return": torch.tensor([[1.0, 2.0]]),
    }
    outputs = SimpleNamespace(logits=torch.zeros(1, 3, 4), hidden_states=(hidden,))
    objective = ProximalPolicy(PpoSpec(value_coefficient=0.5), sampler, None, None)  # type: ignore[arg-type]
    outcome = objective.loss(lambda **_inputs: outputs, batch)
    # the first ratio, e^0.5, is clipped to 1.2
    assert float(outcome.total) == pytest.approx(-1.2 + 1.0 + 0.5 * (0.5 + 2.0), abs=1e-4)
    assert int(objective.items(batch)) == 2
    assert outcome.measured["kl"].tolist() == pytest.approx([0, 1])
