"""The rate that follows evaluations."""

from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from finetune_trainer.training.plateau import Plateau


def plateau(**settings: Any) -> Plateau:
    return Plateau(**{"metric": "loss", "greater_is_better": False, "patience": 1, "factor": 0.5} | settings)


def shares(followed: Plateau, values: list[float]) -> list[float]:
    """The share of the peak after each evaluation, long after the warm-up."""
    found = []
    for value in values:
        followed.add({"loss": value})
        found.append(followed(1000))
    return found


def test_the_rate_rises_first() -> None:
    followed = plateau()
    followed.warmup_steps = 4
    assert [followed(step) for step in range(6)] == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]


def test_it_stays_while_evaluation_improves() -> None:
    assert shares(plateau(), [3.0, 2.0, 1.0, 0.5]) == [1.0] * 4


@pytest.mark.parametrize(
    ("patience", "expected"), [(0, [1.0, 0.5, 0.25, 0.125]), (1, [1.0, 1.0, 0.5, 0.5]), (3, [1.0] * 4)]
)
def test_it_falls_when_patience_is_at_an_end(patience: int, expected: list[float]) -> None:
    assert shares(plateau(patience=patience), [1.0, 1.0, 1.0, 1.0]) == expected


def test_an_improvement_gives_new_patience() -> None:
    assert shares(plateau(), [1.0, 1.1, 0.9, 1.0, 1.0]) == [1.0, 1.0, 1.0, 1.0, 0.5]


def test_more_may_be_better() -> None:
    assert shares(plateau(greater_is_better=True, patience=0), [0.5, 0.6, 0.4]) == [1.0, 1.0, 0.5]


def test_a_change_in_the_last_digits_is_none() -> None:
    assert shares(plateau(patience=0), [1.0, 0.99995]) == [1.0, 0.5]


def scheduler(followed: Plateau) -> LambdaLR:
    weights = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(2)]
    return LambdaLR(torch.optim.SGD(weights, lr=1.0), followed)


def test_a_checkpoint_keeps_what_was_seen_and_leaves_the_settings_alone() -> None:
    before, after = plateau(patience=0), plateau(patience=0)
    before.warmup_steps, after.warmup_steps = 4, 8
    shares(before, [1.0, 1.1])
    scheduler(after).load_state_dict(scheduler(before).state_dict())
    assert (after.best, after.waited, after.share, after.warmup_steps) == (1.0, 0, 0.5, 8)
