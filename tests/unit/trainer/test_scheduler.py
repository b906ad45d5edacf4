"""Schedules for a training loop of one's own, against those of transformers."""

import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler
from transformers import get_cosine_with_min_lr_schedule_with_warmup

from finetune_trainer.scheduler import CosineSchedulerWithWarmup, get_scheduler


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


def rates(scheduler: LRScheduler, steps: int) -> list[float]:
    seen = []
    for _ in range(steps):
        seen.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        scheduler.step()
    return seen


def test_the_cosine_rises_falls_and_rests() -> None:
    scheduler = get_scheduler("cosine", optimizer(), warmup_steps=2, total_steps=6, min_lr_ratio=0.1)
    assert isinstance(scheduler, CosineSchedulerWithWarmup)
    seen = rates(scheduler, 9)
    assert seen[:3] == [0.0, 0.5, 1.0]
    assert seen[4] == pytest.approx(0.55)
    assert seen[6:] == pytest.approx([0.1, 0.1, 0.1])


def test_the_cosine_is_the_one_that_jobs_train_with() -> None:
    ours = CosineSchedulerWithWarmup(optimizer(), warmup_steps=3, total_steps=11, min_lr_ratio=0.2)
    theirs = get_cosine_with_min_lr_schedule_with_warmup(optimizer(), 3, 11, min_lr_rate=0.2)
    assert rates(ours, 11) == pytest.approx(rates(theirs, 11))


def test_linear_falls_to_zero_and_constant_stays() -> None:
    assert rates(get_scheduler("linear", optimizer(), 1, 5), 6) == [0.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    assert rates(get_scheduler("constant", optimizer(), warmup_steps=2), 4) == [0.0, 0.5, 1.0, 1.0]


def test_state_goes_on_where_it_was_saved() -> None:
    first = get_scheduler("cosine", optimizer(), 1, 6)
    before = rates(first, 3)
    second = get_scheduler("cosine", optimizer(), 1, 6)
    second.load_state_dict(first.state_dict())
    assert before + rates(second, 3) == pytest.approx(rates(get_scheduler("cosine", optimizer(), 1, 6), 6))


@pytest.mark.parametrize("name", ["cosine", "linear"])
def test_a_schedule_that_falls_has_to_know_its_end(name: str) -> None:
    with pytest.raises(ValueError, match="total_steps"):
        get_scheduler(name, optimizer(), warmup_steps=1)


def test_other_names_are_refused() -> None:
    with pytest.raises(ValueError, match="cosine, linear, constant"):
        get_scheduler("triangle", optimizer(), 1, 2)
