"""Advantages: how much better a token was than expected."""

import pytest
import torch

from finetune_trainer.stages.advantages import estimate, whitened


def test_a_reward_at_the_end_is_credited_to_every_token_before_it() -> None:
    answered = torch.tensor([[False, True, True, True, False]])
    rewards = torch.tensor([[0.0, 0.0, 0.0, 1.0, 0.0]])
    values = torch.tensor([[9.0, 0.5, 0.2, 0.4, 9.0]])
    found = estimate(rewards, values, answered, discount=1.0, decay=1.0)
    # with λ = 1: what is still to come, less what was expected
    assert found[0].tolist() == pytest.approx([0, 1 - 0.5, 1 - 0.2, 1 - 0.4, 0])


def test_without_lambda_only_the_next_value_counts() -> None:
    answered = torch.ones(1, 3, dtype=torch.bool)
    found = estimate(
        torch.tensor([[0.1, 0.2, 0.3]]), torch.tensor([[1.0, 2.0, 3.0]]), answered, discount=0.5, decay=0.0
    )
    assert found[0].tolist() == pytest.approx([0.1 + 0.5 * 2 - 1, 0.2 + 0.5 * 3 - 2, 0.3 - 3])


def test_advantages_are_whitened_over_all_micro_batches() -> None:
    values = [torch.tensor([[1.0, 50.0]]), torch.tensor([[2.0, 3.0]])]
    counted = [torch.tensor([[True, False]]), torch.tensor([[True, True]])]
    found = whitened(values, counted, lambda *sums: sums)
    chosen = torch.cat([value[mask] for value, mask in zip(found, counted, strict=True)])
    assert float(chosen.mean()) == pytest.approx(0, abs=1e-6)
    assert float(chosen.std(correction=0)) == pytest.approx(1, abs=1e-5)
