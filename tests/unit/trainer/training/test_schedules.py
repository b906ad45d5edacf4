"""Learning rates over a run, as transformers computes them from our settings."""

import math
from typing import Any

import pytest
import torch
from transformers import get_scheduler

from finetune_api.training import ScheduleSpec, TrainingSpec
from finetune_trainer.data.sampling import total_steps
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.training.schedules import decay_steps, schedule

STEPS = 100


def rates(settings: dict[str, Any], warmup: int = 10) -> list[float]:
    """The rate before each step, as a share of the peak."""
    spec = ScheduleSpec.from_json_object({"warmupSteps": warmup, **settings})
    name, kwargs = schedule(spec, STEPS)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = get_scheduler(name, optimizer, warmup, STEPS, kwargs)
    found = []
    for _ in range(STEPS + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(
    "settings",
    [
        {"type": "cosine"},
        {"type": "cosine", "minLearningRateRatio": 0.1},
        {"type": "linear"},
        {"type": "constant"},
        {"type": "polynomial", "power": 2.0},
        {"type": "cosineWithRestarts", "cycles": 3},
        {"type": "inverseSqrt"},
        {"type": "warmupStableDecay"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_every_schedule_rises_to_the_peak_first(settings: dict[str, Any]) -> None:
    found = rates(settings)
    assert found[0] == 0.0
    assert found[5] == pytest.approx(0.5, abs=0.06)
    assert found[10] == pytest.approx(1.0)
    assert max(found) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("settings", "step", "share"),
    [
        ({"type": "cosine"}, 55, 0.5),
        ({"type": "cosine"}, 100, 0.0),
        ({"type": "cosine", "minLearningRateRatio": 0.1}, 100, 0.1),
        ({"type": "linear"}, 55, 0.5),
        ({"type": "constant"}, 100, 1.0),
        ({"type": "polynomial", "power": 2.0}, 55, 0.25),
        ({"type": "polynomial", "power": 2.0}, 100, 0.0),
        # three waves of 30 steps: the second one starts at step 40
        ({"type": "cosineWithRestarts", "cycles": 3}, 39, (1 + math.cos(math.pi * 29 / 30)) / 2),
        ({"type": "cosineWithRestarts", "cycles": 3}, 40, 1.0),
        ({"type": "inverseSqrt"}, 90, 1 / 3),
        # 10 steps of warm-up, 80 at the peak, 10 of decay
        ({"type": "warmupStableDecay"}, 89, 1.0),
        ({"type": "warmupStableDecay"}, 95, 0.5),
        ({"type": "warmupStableDecay", "stableRatio": 0.5}, 80, 0.5),
    ],
)
def test_then_each_goes_its_own_way(settings: dict[str, Any], step: int, share: float) -> None:
    assert rates(settings)[step] == pytest.approx(share, abs=1e-6)


def test_a_plateau_is_a_constant_rate_to_transformers() -> None:
    assert schedule(ScheduleSpec(type="reduceOnPlateau")) == ("constant_with_warmup", {})


def test_a_lowest_rate_belongs_to_cosine() -> None:
    with pytest.raises(InvalidConfigError, match=r"minLearningRateRatio: 0.1 is a part of cosine"):
        schedule(ScheduleSpec(type="linear", min_learning_rate_ratio=0.1))


@pytest.mark.parametrize(
    ("training", "steps"),
    [(TrainingSpec(max_steps=7), 7), (TrainingSpec(epochs=2.0), 6), (TrainingSpec(epochs=0.5), 2)],
)
def test_a_run_is_as_long_as_it_is_told_or_as_its_data(training: TrainingSpec, steps: int) -> None:
    assert total_steps(training, steps_per_epoch=3) == steps


def test_a_warm_up_by_share_is_rounded_as_transformers_does() -> None:
    spec = ScheduleSpec(type="warmupStableDecay", warmup_ratio=0.03, stable_ratio=0.5)
    assert decay_steps(spec, 50) == 50 - 2 - 25
