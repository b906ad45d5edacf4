"""Every stage on every family of decoders: rewards and values stand on top of each, answers are drawn from
each, and what comes of it loads again.

Only with FINETUNE_ALL_COMBINATIONS=1, but for one; what came of all is in `docs/log.md`.
"""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from breadth import EVERYTHING, FAMILY_NAMES
from one_rank import train
from rewarded import PROMPTS
from stage_runs import PAIRS, MakeJob, curve

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        # PEFT takes the names of parameters for those of modules
        "ignore:The following (rank|alpha)_pattern keys did not match:RuntimeWarning",
        # and finds out by itself how the weights of a Conv1D lie
        "ignore:fan_in_fan_out is set to False but the target module is `Conv1D`:UserWarning",
    ),
]

STAGES = ["rm", "dpo", "kto", "ppo", "grpo"]

A_FEW = [("gpt2", "rm")]


@pytest.mark.parametrize(("family", "stage"), list(product(FAMILY_NAMES, STAGES)) if EVERYTHING else A_FEW)
def test_a_stage_trains_a_family(
    stage_job: MakeJob, family_model: Callable[[str], Path], tmp_path: Path, family: str, stage: str
) -> None:
    model = {"path": str(family_model(family))}
    short = {"maxSteps": 2, "gradientAccumulationSteps": 1, "learningRate": 1e-3}
    once = {"checkpoints": {"everySteps": 0}}
    lora = {"type": "lora", "lora": {"rank": 4, "dropout": 0.0, "targetModules": ["all-linear"]}}
    method = {"rm": {"type": "full"}}.get(stage, lora)
    training: dict[str, object] = dict(short)
    if stage == "ppo":
        judge = stage_job("rm", once | {"model": model, "training": short}, run_directory=tmp_path / "judge")
        train(judge)
        reward = f"{judge.paths.output_directory}/model"
        training["ppo"] = {"rewardModelPath": reward, "sampling": {"maxNewTokens": 4}, "updatesPerBatch": 1}
    if stage == "grpo":
        rewards = ["brevity", "ended"]
        training["grpo"] = {"rewardFunctions": rewards, "groupSize": 2, "sampling": {"maxNewTokens": 4}}
    drawn = stage in ("ppo", "grpo")
    data = {"records": PROMPTS, "format_": "alpaca"} if drawn else {"records": PAIRS}
    job = stage_job(stage, once | {"model": model, "method": method, "training": training}, **data)
    result = train(job)
    assert list(curve(job)) == [1, 2]
    assert result.output is not None
    assert result.output.verified
