"""ppo and grpo, whole runs: a policy from sft, a reward model from rm, and a reward that rises.

By default one run of three kinds; FINETUNE_SEEDS=10 makes ten of all four, each with a policy, a reward model
and a seed of its own, and at least nine of them must rise. `rises` (bandit.py) says when one has.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from safetensors.torch import load_file

from bandit import rises
from finetune_api import ResolvedJob
from one_rank import train
from rewarded import PASSES, PROMPTS, SEEDS, policy, reward_model, rewarded
from stage_runs import MakeJob, curve

pytestmark = pytest.mark.slow

RATES = {"full": 1e-3, "lora": 5e-3}
BATCHES = 15
"""Batches of answers that a run draws; a third of them shows where it began, or has come to."""

KINDS = [("ppo", "full"), ("ppo", "lora"), ("grpo", "lora"), *([("grpo", "full")] if len(SEEDS) > 1 else [])]

Rewards = list[float]


@dataclass(frozen=True)
class Rig:
    """What the runs of one seed begin with."""

    policy: Path
    judge: Path
    start: dict[str, Rewards]
    """By stage: the rewards of the policy that has learned nothing."""


@pytest.fixture(scope="module")
def made() -> dict[int, Rig]:
    return {}


@pytest.fixture
def rig(
    stage_job: MakeJob, made: dict[int, Rig], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int], Rig]:
    """The rig of a seed, made once for all tests."""

    def make(seed: int) -> Rig:
        if seed not in made:
            place = tmp_path_factory.mktemp(f"seed-{seed}")
            start = policy(stage_job, place / "policy", seed)
            rig = Rig(start, reward_model(stage_job, place / "reward", seed, start), {})
            for stage in ("ppo", "grpo"):
                still = spec_of(stage, rig, "full", seed, batches=BATCHES // 3, rate=1e-12)
                rig.start[stage] = rewards_of(run_of(stage_job, stage, still, place / stage))
            made[seed] = rig
        return made[seed]

    return make


@pytest.mark.parametrize(("stage", "method"), KINDS)
def test_the_reward_rises(
    stage_job: MakeJob, rig: Callable[[int], Rig], tmp_path: Path, stage: str, method: str
) -> None:
    risen = []
    for seed in SEEDS:
        spec = spec_of(stage, rig(seed), method, seed, batches=BATCHES, rate=RATES[method])
        job = run_of(stage_job, stage, spec, tmp_path / f"seed-{seed}")
        rewards, start = rewards_of(job), rig(seed).start[stage]
        assert len(rewards) == BATCHES
        rose = rises(rewards, start)
        print(f"{stage}, {method}, seed {seed}: {fmean(start):.2f} -> {fmean(rewards[-5:]):.2f}, rose {rose}")
        if rose:
            risen.append(seed)
        if stage == "ppo":
            check_value_head(job, method)
    assert len(risen) >= 0.9 * len(SEEDS), f"rose with seeds {risen} of {list(SEEDS)}"


def spec_of(stage: str, rig: Rig, method: str, seed: int, *, batches: int, rate: float) -> dict[str, Any]:
    return rewarded(stage, rig.policy, rig.judge, method=method, seed=seed, rate=rate, batches=batches)


def run_of(stage_job: MakeJob, stage: str, spec: dict[str, Any], place: Path) -> ResolvedJob:
    """A run, which succeeds."""
    job = stage_job(stage, spec, records=PROMPTS, format_="alpaca", run_directory=place)
    result = train(job)
    assert result.output is not None
    assert result.output.verified
    return job


def rewards_of(job: ResolvedJob) -> Rewards:
    """The mean reward of each batch of answers."""
    return list(curve(job, "reward").values())[::PASSES]


def check_value_head(job: ResolvedJob, method: str) -> None:
    """It is trained and is in the checkpoint; the output is a model like any other."""
    (kept,) = Path(job.paths.run_directory).glob("checkpoints/*/*model.safetensors")
    heads = [weight for name, weight in load_file(kept).items() if "value_head" in name]
    assert any(bool((weight != 0).any()) for weight in heads), "the value head starts at 0"
    (output,) = Path(job.paths.output_directory).glob("*/*model.safetensors")
    assert not [name for name in load_file(output) if "value_head" in name]
    if method == "lora":
        config = json.loads((output.parent / "adapter_config.json").read_text())
        assert config["modules_to_save"] is None
