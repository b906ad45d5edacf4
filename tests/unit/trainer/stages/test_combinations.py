"""Every stage with every method on every quantization: what validation allows trains.

By default one of each stage; FINETUNE_ALL_COMBINATIONS=1 runs all 240, which takes minutes (docs/log.md says
what came of it). Those of sft are in `methods/test_combinations.py`.
"""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from breadth import EVERYTHING
from finetune_api import validate_job
from finetune_api.job import FineTuneJob, ObjectMeta
from finetune_trainer.stages import STAGES
from one_rank import train
from rewarded import PROMPTS
from stage_runs import PAIRS, MakeJob, curve

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore:MatMul8bitLt. inputs will be cast:UserWarning",
    ),
]

ADAPTED = ["lora", "qlora", "pissa", "rslora", "dora"]
WHOLE = ["full", "freeze", "spectrum"]
QUANTIZATIONS = ["none", "int8", "int4", "nf4", "fp4"]
STAGED = [stage for stage in STAGES if stage != "sft"]


def combinations() -> Iterator[tuple[str, str, str]]:
    """Stage, method, quantization."""
    for number, stage in enumerate(STAGED):
        if EVERYTHING:
            yield from product([stage], [*WHOLE, *ADAPTED], QUANTIZATIONS)
            continue
        yield stage, ADAPTED[number % len(ADAPTED)], QUANTIZATIONS[-1 - number % len(QUANTIZATIONS)]
    if not EVERYTHING:
        # a score that is saved whole, beside adapters that start as a part of the base
        yield "rm", "pissa", "nf4"


def spec(stage: str, method: str, quantization: str, judge: str) -> dict[str, Any]:
    sampling = {"sampling": {"maxNewTokens": 4}}
    sections: dict[str, Any] = {
        "ppo": {"ppo": {"rewardModelPath": judge, "updatesPerBatch": 1} | sampling},
        "grpo": {"grpo": {"rewardFunctions": ["brevity"], "groupSize": 2} | sampling},
    }
    freeze: dict[str, Any] = {"freeze": {"trainableLayers": 1}} if method == "freeze" else {}
    return {
        "method": {"type": method, "lora": {"rank": 4, "dropout": 0.0}, **freeze},
        "quantization": {"type": quantization, "allowDora": True},
        "training": {
            "maxSteps": 2,
            "gradientAccumulationSteps": 1,
            "learningRate": 1e-3,
            **sections.get(stage, {}),
        },
        "checkpoints": {"everySteps": 0},
    }


def records(stage: str) -> dict[str, Any]:
    if stage == "pretrain":
        texts = [{"text": f"add {number} and {number} user assistant"} for number in range(9)]
        return {"records": texts, "format_": "text"}
    drawn = {"records": PROMPTS, "format_": "alpaca"}
    return drawn if stage in ("ppo", "grpo") else {"records": PAIRS}


@pytest.fixture(scope="module")
def judges() -> list[str]:
    return []


@pytest.fixture
def judge(stage_job: MakeJob, judges: list[str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A reward model; made once."""
    if not judges:
        once = {"training": {"maxSteps": 1}, "checkpoints": {"everySteps": 0}}
        job = stage_job("rm", once, run_directory=tmp_path_factory.mktemp("judge"))
        train(job)
        judges.append(f"{job.paths.output_directory}/model")
    return judges[0]


@pytest.mark.parametrize(("stage", "method", "quantization"), list(combinations()))
def test_a_combination_trains_or_is_refused(
    stage_job: MakeJob, judge: str, stage: str, method: str, quantization: str
) -> None:
    job = stage_job(stage, spec(stage, method, quantization, judge), **records(stage))
    findings = validate_job(FineTuneJob(metadata=ObjectMeta(name="tiny"), spec=job.spec), "local")
    errors = [finding for finding in findings if finding.severity == "error"]
    # the stages add nothing to what the methods' own test lists
    refused = method in WHOLE and quantization != "none"
    assert {finding.path for finding in errors} == ({"quantization.type"} if refused else set()), errors
    if refused:
        return
    result = train(job)
    assert list(curve(job)) == [1, 2]
    assert result.output is not None
    assert result.output.verified
    assert Path(job.paths.output_directory, result.output.kind).is_dir()
