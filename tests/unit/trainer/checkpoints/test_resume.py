"""One process and two ranks that are killed, and told to end, in the middle of their work: the attempts
together compute what one uninterrupted run computes, bit for bit."""

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api import ExitCode, Reason, ResolvedJob
from runs import end_of, launched, losses, output_weights, ranks_of, run, wait_for_step

MakeJob = Callable[..., ResolvedJob]

pytestmark = pytest.mark.slow

STEPS = 24
EVERY = 4
"""Optimizer steps between two checkpoints."""

SEED = os.environ.get("FINETUNE_SEED", "0")
"""Which steps the runs are killed at; any other value kills them elsewhere."""


FOLLOWS_EVALUATIONS: dict[str, Any] = {
    "dataset": {"evalSplit": 0.2},
    "evaluation": {"everySteps": 2},
    "training": {"learningRate": 0.1, "schedule": {"type": "reduceOnPlateau", "patience": 0, "factor": 0.5}},
}
"""At this rate evaluations grow worse now and then."""


def spec(method: str, zero_stage: int) -> dict[str, Any]:
    more = FOLLOWS_EVALUATIONS if (method, zero_stage) == ("full", 2) else {}
    steps = {"microBatchSize": 1, "gradientAccumulationSteps": 2, "maxSteps": STEPS}
    return more | {
        # dropout: the random numbers of every rank must go on too
        "method": {"type": method, **({} if method == "full" else {"lora": {"dropout": 0.1}})},
        "quantization": {"type": "nf4" if method == "qlora" else "none"},
        "distributed": {"processesPerNode": 2, "zeroStage": zero_stage},
        "training": steps | more.get("training", {}),
        "checkpoints": {"everySteps": EVERY},
    }


@pytest.mark.parametrize(
    ("method", "zero_stage"), [("full", 2), ("full", 3), ("lora", 2), ("lora", 3), ("qlora", 2), ("qlora", 3)]
)
def test_a_run_that_is_killed_and_told_to_end_goes_on_exactly(
    make_job: MakeJob, tmp_path: Path, method: str, zero_stage: int
) -> None:
    what = spec(method, zero_stage)
    whole, broken = make_job(what, run_directory=tmp_path / "whole"), make_job(what)
    run(whole, tmp_path / "a")
    chance = random.Random(f"{method}-{zero_stage}-{SEED}")

    # past the second save: the first is committed then, however slow the disk
    kill_at = chance.randrange(2 * EVERY + 1, 3 * EVERY)
    with launched(broken, tmp_path / "b") as node:
        wait_for_step(broken, kill_at, node, tmp_path / "b")
        os.kill(chance.choice(ranks_of(node)), signal.SIGKILL)
        status, result = end_of(node, tmp_path / "b")
    assert status == ExitCode.CRASHED
    assert result is not None
    assert result.outcome == "failed"

    second = make_job(what, attempt=2)
    stop_at = chance.randrange(4 * EVERY, 5 * EVERY)
    with launched(second, tmp_path / "c") as node:
        wait_for_step(broken, stop_at, node, tmp_path / "c")
        node.send_signal(signal.SIGTERM)
        status, result = end_of(node, tmp_path / "c")
    assert status == ExitCode.INTERRUPTED
    assert result is not None
    assert (result.outcome, result.reason) == ("interrupted", Reason.INTERRUPTED)
    assert result.resumed_step is not None
    assert result.resumed_step >= EVERY
    assert result.checkpoints is not None
    assert result.checkpoints.latest is not None
    assert result.checkpoints.latest.step == result.step < STEPS

    last = run(make_job(what, attempt=3), tmp_path / "d")
    assert last.resumed_step == result.step
    assert losses(broken) == losses(whole)
    assert output_weights(broken) == output_weights(whole)


ALONE: dict[str, Any] = {
    # a window of several steps must be taken up too
    "training": {"microBatchSize": 1, "gradientAccumulationSteps": 4, "maxSteps": STEPS, "loggingSteps": 2},
    "checkpoints": {"everySteps": EVERY},
}
METHODS: dict[str, dict[str, Any]] = {
    "full": {"method": {"type": "full"}},
    "lora": {"method": {"type": "lora", "lora": {"dropout": 0.1}}},
    "qlora": {
        "method": {"type": "qlora", "lora": {"dropout": 0.1}},
        "quantization": {"type": "nf4"},
        # an evaluation in the middle must leave the packed weights alone
        "dataset": {"evalSplit": 0.2},
        "evaluation": {"everySteps": 6},
    },
}


@pytest.mark.parametrize("method", list(METHODS))
def test_one_process_that_is_killed_goes_on_exactly(make_job: MakeJob, tmp_path: Path, method: str) -> None:
    what = ALONE | METHODS[method]
    whole, broken = make_job(what, run_directory=tmp_path / "whole"), make_job(what)
    run(whole, tmp_path / "a")

    # anywhere in the run, before the first save too
    kill_at = random.Random(f"{method}-{SEED}").randrange(1, STEPS)
    with launched(broken, tmp_path / "b") as process:
        wait_for_step(broken, kill_at, process, tmp_path / "b")
        process.send_signal(signal.SIGKILL)
        assert end_of(process, tmp_path / "b") == (-signal.SIGKILL, None)

    last = run(make_job(what, attempt=2), tmp_path / "c")
    # past the second save, the first one is committed, however slow the disk
    assert (last.resumed_step or 0) >= (EVERY if kill_at > 2 * EVERY else 0)
    assert (last.resumed_step or 0) % EVERY == 0
    assert losses(broken) == losses(whole)
    assert output_weights(broken) == output_weights(whole)
