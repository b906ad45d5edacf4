"""Every stage, and methods with states of their own, go on with other ranks: their losses go on too, but for
answers that are drawn, which depend on how the prompts lie on the ranks.

With FINETUNE_ALL_COMBINATIONS=1 alone: each starts two ranks.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest

from breadth import EVERYTHING
from one_rank import train
from rewarded import PROMPTS
from runs import losses, run
from stage_runs import MakeJob

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not EVERYTHING, reason="takes minutes: FINETUNE_ALL_COMBINATIONS=1 runs it"),
]

MIDDLE, LAST = 3, 6
LORA: dict[str, Any] = {"type": "lora", "lora": {"dropout": 0.0}}
FULL: dict[str, Any] = {"type": "full"}
SUMS = [{"instruction": f"add {a} and {b}", "output": str(a + b)} for a in range(5) for b in range(4)]


def spec(ranks: int, **parts: Any) -> dict[str, Any]:
    training = {
        "microBatchSize": 4,
        "gradientAccumulationSteps": 4 // ranks,
        "maxSteps": LAST,
        "learningRate": 1e-3,
    } | parts.pop("training", {})
    distributed = {"processesPerNode": 2, "zeroStage": 2} if ranks == 2 else {}
    checkpoints = {"everySteps": MIDDLE, "universal": True}
    return parts | {"distributed": distributed, "training": training, "checkpoints": checkpoints}


def go_on(
    stage_job: MakeJob, tmp_path: Path, stage: str, before: int, records: dict[str, Any], **parts: Any
) -> tuple[Any, Any]:
    """The losses of a run in one layout, and of one that goes on from its middle in the other."""
    whole = stage_job(stage, spec(before, **parts), **records)
    run(whole, tmp_path / "whole")
    expected = losses(whole)
    shutil.rmtree(Path(whole.paths.run_directory) / "checkpoints" / f"step-{LAST:08d}")
    again = stage_job(stage, spec(3 - before, **parts), attempt=2, **records)
    result = run(again, tmp_path / "again")
    assert (result.resumed_step, result.step) == (MIDDLE, LAST)
    return losses(again), expected


@pytest.mark.parametrize("before", [1, 2])
@pytest.mark.parametrize("method", [FULL, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("stage", ["rm", "dpo"])
def test_pairs_go_on(
    stage_job: MakeJob, tmp_path: Path, stage: str, method: dict[str, Any], before: int
) -> None:
    found, expected = go_on(stage_job, tmp_path, stage, before, {}, method=method)
    assert found == [(step, pytest.approx(loss, rel=1e-4)) for step, loss in expected]


@pytest.mark.parametrize(
    ("method", "quantization"),
    [
        ({**LORA, "type": "pissa"}, "none"),
        ({**LORA, "type": "qlora"}, "nf4"),
        ({"type": "lora", "lora": {"dropout": 0.0, "modulesToSave": ["lm_head"]}}, "none"),
        ({"type": "freeze", "freeze": {"trainableLayers": 1}}, "none"),
    ],
    ids=["pissa", "qlora", "saved-head", "freeze"],
)
def test_methods_go_on(stage_job: MakeJob, tmp_path: Path, method: dict[str, Any], quantization: str) -> None:
    records = {"records": SUMS, "format_": "alpaca"}
    parts = {"method": method, "quantization": {"type": quantization}}
    found, expected = go_on(stage_job, tmp_path, "sft", 1, records, **parts)
    assert found == [(step, pytest.approx(loss, rel=1e-4)) for step, loss in expected]


@pytest.mark.parametrize("stage", ["grpo", "ppo"])
def test_drawn_answers_go_on_behind_the_same_steps(stage_job: MakeJob, tmp_path: Path, stage: str) -> None:
    section: dict[str, Any] = {"rewardFunctions": ["ended", "brevity"], "groupSize": 4}
    if stage == "ppo":
        judge = {"training": {"maxSteps": 1}, "checkpoints": {"everySteps": 0}}
        job = stage_job("rm", judge, run_directory=tmp_path / "judge")
        train(job)
        section = {"rewardModelPath": f"{job.paths.output_directory}/model"}
    section |= {"updatesPerBatch": 2, "sampling": {"maxNewTokens": 8}}
    records = {"records": PROMPTS, "format_": "alpaca"}
    parts = {"method": LORA, "training": {stage: section}}
    found, expected = go_on(stage_job, tmp_path, stage, 1, records, **parts)
    assert [step for step, _ in found] == [step for step, _ in expected]
    assert found[:MIDDLE] == expected[:MIDDLE]
