"""What a stage measures: means over a step, over all its micro-batches and ranks."""

from pathlib import Path

import pytest
import torch

from finetune_trainer.metrics import MEASURED
from finetune_trainer.stages.dpo import DirectPreference
from finetune_trainer.stages.grpo import GroupRelative
from finetune_trainer.stages.kto import KahnemanTversky
from finetune_trainer.stages.measurements import Measurements
from finetune_trainer.stages.ppo import ProximalPolicy
from finetune_trainer.stages.rm import BradleyTerry
from host_waits import Waits

OBJECTIVES = (BradleyTerry, DirectPreference, KahnemanTversky, ProximalPolicy, GroupRelative)


@pytest.fixture(autouse=True)
def another_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one more rank, which has measured a reward of 6, once."""
    others = (6.0, 1.0, 0.0, 0.0)
    monkeypatch.setattr(
        "finetune_trainer.stages.measurements.sum_over_ranks",
        lambda *values: tuple(value + other for value, other in zip(values, others, strict=True)),
    )


def test_every_value_of_a_step_weighs_the_same() -> None:
    measurements = Measurements(["reward", "kl"])
    measurements.add({"reward": torch.tensor([1.0, 2.0, 3.0])})
    measurements.add({"reward": torch.tensor([])})
    # four values: 1, 2, 3 here and 6 there; nobody has measured kl
    assert measurements.take() == {"reward": 3.0}


def test_a_step_begins_anew() -> None:
    measurements = Measurements(["reward", "kl"])
    measurements.add({"reward": torch.tensor([100.0])})
    measurements.take()
    assert measurements.take() == {"reward": 6.0}


def test_however_much_is_measured_a_gpu_is_not_waited_for_once_for_each() -> None:
    measurements = Measurements(["reward", "kl"])
    measurements.add({"reward": torch.tensor([1.0]), "kl": torch.tensor([2.0])})
    with Waits() as waits:
        assert measurements.take() == {"reward": 3.5, "kl": 2.0}
    assert waits.number == 0, "all are read at once"


def test_only_what_was_announced_is_measured() -> None:
    with pytest.raises(KeyError):
        Measurements(["reward", "kl"]).add({"loss": torch.tensor([1.0])})


def test_whatever_a_stage_measures_reaches_the_metrics_file_and_is_documented() -> None:
    measured = {name for objective in OBJECTIVES for name in objective.metrics}
    page = (Path(__file__).parents[4] / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert measured == MEASURED
    assert {name for name in measured if f"`{name}`" not in page} == set()
