"""The rates of whole runs: those of transformers' own function at every step, for every group of weights, and
the same after a kill in the middle.

By default a few of the schedules; FINETUNE_ALL_COMBINATIONS=1 runs all.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_scheduler
from transformers.trainer_utils import SchedulerType

import runs
from breadth import EVERYTHING
from finetune_api import ResolvedJob
from finetune_api.validation.capabilities import SCHEDULES, SCHEDULES_LEFT_OUT
from finetune_cli.foreign.arguments import SCHEDULES as NAMES_OF_OTHERS
from finetune_trainer.training.trainer import FineTuneTrainer
from one_rank import DiesAt, Killed, train

MakeJob = Callable[..., ResolvedJob]
Rates = dict[int, list[float]]

in_runs = pytest.mark.slow

STEPS = 8
WARMUP = 2
RATE = 1e-3
B_FASTER = 16.0

OF_TRANSFORMERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "linear": ({"type": "linear"}, {}),
    "cosine": ({"type": "cosine"}, {}),
    "cosine_with_restarts": ({"type": "cosineWithRestarts", "cycles": 2}, {"num_cycles": 2}),
    "polynomial": ({"type": "polynomial", "power": 2.0}, {"power": 2.0, "lr_end": 0.0}),
    "constant": ({"type": "constant", "warmupSteps": 0}, {}),
    "constant_with_warmup": ({"type": "constant"}, {}),
    "inverse_sqrt": ({"type": "inverseSqrt"}, {}),
    # nothing is evaluated before the end: the rate stays
    "reduce_lr_on_plateau": ({"type": "reduceOnPlateau", "warmupSteps": 0}, {}),
    "cosine_with_min_lr": ({"type": "cosine", "minLearningRateRatio": 0.1}, {"min_lr_rate": 0.1}),
    "cosine_warmup_with_min_lr": (
        {"type": "cosine", "minLearningRateRatio": 0.1, "startLearningRateRatio": 0.25},
        {"min_lr_rate": 0.1, "warmup_lr_rate": 0.25},
    ),
    "warmup_stable_decay": ({"type": "warmupStableDecay", "stableRatio": 0.5}, {"num_decay_steps": 2}),
}
"""Our settings for each of transformers' schedules, and its own."""

BY_RATIO = ("linear", "cosine_with_restarts", "warmup_stable_decay")
"""Those whose warm-up is told as a share."""


@pytest.mark.parametrize("name", [each.value for each in SchedulerType])
def test_every_schedule_that_transformers_names_is_followed_or_refused_by_name(name: str) -> None:
    ours = NAMES_OF_OTHERS[name]
    assert (ours in SCHEDULES) != (ours in SCHEDULES_LEFT_OUT)
    assert (name in OF_TRANSFORMERS) == (ours in SCHEDULES)


def spec(name: str, **more: Any) -> dict[str, Any]:
    """LoRA+, so that there are two groups of weights."""
    ours, _ = OF_TRANSFORMERS[name]
    warmup = {"warmupRatio": WARMUP / STEPS} if name in BY_RATIO else {"warmupSteps": WARMUP}
    lora = {"rank": 4, "learningRateRatio": B_FASTER, "targetModules": ["q_proj"]}
    training = {"maxSteps": STEPS, "learningRate": RATE, "gradientAccumulationSteps": 1}
    return {
        "method": {"type": "lora", "lora": lora},
        "training": training | {"schedule": warmup | ours},
        "checkpoints": {"everySteps": 4},
        "dataset": {"evalSplit": 0.2} if name == "reduce_lr_on_plateau" else {},
        "evaluation": {"everySteps": 100},
        **more,
    }


def expected(name: str) -> Rates:
    """The rates of A and B matrices in each step, by transformers alone."""
    ours, theirs = OF_TRANSFORMERS[name]
    groups = [
        {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (RATE, B_FASTER * RATE)
    ]
    optimizer = torch.optim.SGD(groups, lr=RATE)
    if name == "reduce_lr_on_plateau":
        name = "constant"
    scheduler = get_scheduler(name, optimizer, ours.get("warmupSteps", WARMUP), STEPS, theirs)
    found = {}
    for step in range(1, STEPS + 1):
        found[step] = [group["lr"] for group in optimizer.param_groups]
        optimizer.step()
        scheduler.step()
    return found


class Stepping:
    """What a trainer steps with: the rates of its groups in each step, and its classes."""

    def __init__(self) -> None:
        self.rates: Rates = {}
        self.optimizer = self.scheduler = object

    def look(self, trainer: FineTuneTrainer) -> None:
        optimizer, scheduler = trainer.optimizer, trainer.lr_scheduler
        self.rates[trainer.state.global_step + 1] = sorted({group["lr"] for group in optimizer.param_groups})
        while hasattr(optimizer, "optimizer"):
            optimizer = optimizer.optimizer
        while hasattr(scheduler, "scheduler"):
            scheduler = scheduler.scheduler
        self.optimizer, self.scheduler = type(optimizer), type(scheduler)


@pytest.fixture
def stepping(monkeypatch: pytest.MonkeyPatch) -> Stepping:
    seen, plain = Stepping(), FineTuneTrainer.training_step

    def look_first(self: FineTuneTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
        seen.look(self)
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(FineTuneTrainer, "training_step", look_first)
    return seen


def close(rates: Rates) -> Rates:
    """The same, as what other sums may come near."""
    return {step: pytest.approx(sorted(set(values)), rel=1e-12, abs=1e-18) for step, values in rates.items()}


class TestWholeRuns:
    """Each is trained, killed, and goes on."""

    pytestmark = in_runs

    @pytest.mark.parametrize("name", OF_TRANSFORMERS if EVERYTHING else ["cosine_warmup_with_min_lr"])
    def test_a_run_follows_the_schedule_and_so_does_one_that_was_killed(
        self, make_job: MakeJob, stepping: Stepping, name: str
    ) -> None:
        with pytest.raises(Killed):
            train(make_job(spec(name)), DiesAt(7))
        assert stepping.rates == close({step: expected(name)[step] for step in range(1, 8)})
        stepping.rates.clear()
        assert train(make_job(spec(name), attempt=2)).resumed_step == 4
        assert stepping.rates == close({step: expected(name)[step] for step in range(5, STEPS + 1)})
        assert stepping.optimizer is torch.optim.AdamW
        assert stepping.scheduler is LambdaLR

    @pytest.mark.parametrize(
        ("name", "stage"),
        [("linear", 1), ("polynomial", 2), ("polynomial", 3)] if EVERYTHING else [("polynomial", 2)],
    )
    def test_deepspeed_steps_with_the_same_optimizer_and_rates(
        self, make_job: MakeJob, tmp_path: Path, name: str, stage: int
    ) -> None:
        job = make_job(spec(name, distributed={"engine": "deepspeed", "zeroStage": stage}))
        runs.run(job, tmp_path / "log")
        assert runs.reported_in(tmp_path / "log")["effective"]["optimizer"] == "adamw (AdamW of torch)"
        lines = (Path(job.paths.run_directory) / "metrics.jsonl").read_text().splitlines()
        rates = [json.loads(line)["learningRate"] for line in lines]
        # of the group with more weights; that both step as they do alone, `test_under_deepspeed.py` says
        assert rates == pytest.approx([min(each) for each in expected(name).values()], rel=1e-12)
