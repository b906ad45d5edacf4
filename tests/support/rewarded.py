"""From a model that knows nothing to one that is rewarded, in seconds: sft makes a policy that answers with
random words, rm a reward model that counts one of them; ppo or grpo go on from there."""

import os
import random
from pathlib import Path
from typing import Any

from finetune_api import ResolvedJob
from one_rank import train
from stage_runs import MakeJob

WORDS = ["add", "and", "user", "assistant", "1", "2"]
"""What the tiny tokenizer has as whole tokens."""
WANTED = "and"

SEEDS = range(1, 1 + int(os.environ.get("FINETUNE_SEEDS", "1")))
"""Runs that a test of learning makes. 10 for the figures of `docs/log.md`."""

QUESTIONS = [f"add {a} and {b}" for a in range(4) for b in range(8)]
PROMPTS = [{"instruction": question, "output": WANTED} for question in QUESTIONS]
ONCE = {"checkpoints": {"everySteps": 0}}


def policy(stage_job: MakeJob, directory: Path, seed: int) -> Path:
    """A model that answers with two to four random words."""
    chance = random.Random(seed)
    records = [{"instruction": chance.choice(QUESTIONS), "output": answer(chance)} for _ in range(512)]
    training = {
        "maxSteps": 40,
        "microBatchSize": 16,
        "gradientAccumulationSteps": 1,
        "learningRate": 1e-2,
        "seed": seed,
    }
    job = stage_job(
        "sft", ONCE | {"training": training}, records=records, format_="alpaca", run_directory=directory
    )
    return trained(job)


def reward_model(stage_job: MakeJob, directory: Path, seed: int, base: Path) -> Path:
    """A model that scores answers with more of the wanted word higher."""
    chance = random.Random(seed)
    records = []
    while len(records) < 512:
        one, other = sorted((answer(chance) for _ in range(2)), key=lambda text: text.split().count(WANTED))
        if one.split().count(WANTED) < other.split().count(WANTED):
            records.append({"prompt": chance.choice(QUESTIONS), "chosen": other, "rejected": one})
    training = {
        "maxSteps": 40,
        "microBatchSize": 16,
        "gradientAccumulationSteps": 1,
        "learningRate": 5e-3,
        "seed": seed,
    }
    spec = ONCE | {"model": {"path": str(base)}, "training": training}
    return trained(stage_job("rm", spec, records=records, run_directory=directory))


PASSES = 2
"""Optimizer steps on each batch of answers."""


def rewarded(
    stage: str, base: Path, judge: Path, *, method: str, seed: int, rate: float, batches: int
) -> dict[str, Any]:
    """The spec of a run on so many batches of 32 answers."""
    section: dict[str, Any] = {
        "ppo": {"rewardModelPath": str(judge), "updatesPerBatch": PASSES},
        "grpo": {"rewardFunctions": ["ended", "brevity"], "updatesPerBatch": PASSES},
    }[stage]
    return ONCE | {
        "model": {"path": str(base)},
        "method": {"type": method},
        "training": {
            "maxSteps": batches * PASSES,
            "learningRate": rate,
            "microBatchSize": 32,
            "gradientAccumulationSteps": 1,
            "maxSequenceLength": 48,
            "seed": seed,
            stage: {"sampling": {"maxNewTokens": 6}, **section},
        },
    }


def answer(chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randint(2, 4)))


def trained(job: ResolvedJob) -> Path:
    """Where a run leaves its model."""
    train(job)
    (directory,) = (path for path in Path(job.paths.output_directory).iterdir() if path.is_dir())
    return directory
