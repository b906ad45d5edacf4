"""A run that is told to end while it evaluates ends at once. The next attempt does what is owed, and then
all is as if nothing had happened."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api import ExitCode, ResolvedJob
from finetune_trainer.errors import InterruptedRunError
from finetune_trainer.interruption import StopRequest
from finetune_trainer.training.trainer import FineTuneTrainer
from one_rank import train
from runs import end_of, launched, output_weights, ranks_of, run, wait_for_step

MakeJob = Callable[..., ResolvedJob]

pytestmark = pytest.mark.slow

BATCHES = 4
"""Of one evaluation: as many records, one at a time."""

FOLLOWED: dict[str, Any] = {
    # dropout: an evaluation that is done twice must draw no random number twice
    "method": {"type": "lora", "lora": {"dropout": 0.1}},
    "dataset": {"evalSplit": 0.2},
    "evaluation": {"everySteps": 2, "microBatchSize": 1},
    # a rate at which some evaluations are worse than those before: best, patience and rate all depend on them
    "training": {
        "maxSteps": 20,
        "learningRate": 1.0,
        "schedule": {"type": "reduceOnPlateau", "patience": 0, "factor": 0.9},
        "earlyStopping": {"patience": 2},
    },
    "checkpoints": {"everySteps": 3, "keep": 1},
    "output": {"checkpoint": "best"},
}


def told_in(patch: pytest.MonkeyPatch, batch: int) -> list[int]:
    """Sends the signal in an evaluation batch, counted over the attempt; the steps of the batches that are
    done are added to what is returned."""
    plain = FineTuneTrainer._evaluate_batch
    done: list[int] = []

    def evaluate_batch(self: FineTuneTrainer, *args: Any) -> None:
        plain(self, *args)
        done.append(self.state.global_step)
        if len(done) == batch:
            os.kill(os.getpid(), signal.SIGTERM)

    patch.setattr(FineTuneTrainer, "_evaluate_batch", evaluate_batch)
    return done


def interrupted(job: ResolvedJob, batch: int) -> list[int]:
    """An attempt that is told to end in an evaluation batch; the steps of the batches that were done."""
    stop = StopRequest()
    stop.listen()
    with pytest.MonkeyPatch.context() as patch:
        done = told_in(patch, batch)
        with pytest.raises(InterruptedRunError, match="whose checkpoint is committed"):
            train(job, stop=stop)
    return done


def lines(job: ResolvedJob) -> list[dict[str, float]]:
    """The curves: what does not depend on the clock, in the order of the file."""
    wanted = ("step", "loss", "evalLoss", "evalPerplexity", "learningRate", "gradNorm", "tokens")
    found = map(json.loads, (Path(job.paths.run_directory) / "metrics.jsonl").read_text().splitlines())
    return [{name: line[name] for name in wanted if name in line} for line in found]


@pytest.mark.parametrize(
    "step", [4, 8, 12], ids=["the rate falls by it", "it is the best", "patience ends with it"]
)
def test_an_evaluation_that_was_cut_off_leaves_no_trace(make_job: MakeJob, tmp_path: Path, step: int) -> None:
    whole, job = make_job(FOLLOWED, run_directory=tmp_path / "whole"), make_job(FOLLOWED)
    expected = train(whole)
    rates = {line["step"]: line["learningRate"] for line in lines(whole) if "loss" in line}
    assert expected.checkpoints is not None
    assert expected.checkpoints.best is not None
    assert (rates[4], rates[5], expected.checkpoints.best.step, expected.step) == (1.0, 0.9, 8, 12)

    told_at = BATCHES * (step // 2 - 1) + 2
    done = interrupted(job, told_at)
    assert done[-3:] == [step - 2, step, step], "it ends within the batch"
    # told once more, while it does what is owed
    assert interrupted(make_job(FOLLOWED, attempt=2), 1) == [step]

    found = train(make_job(FOLLOWED, attempt=3))
    assert found.resumed_step == step
    assert lines(job) == lines(whole)
    assert output_weights(job) == output_weights(whole)
    assert (found.step, found.message) == (expected.step, expected.message)
    assert found.checkpoints is not None
    assert found.checkpoints.best is not None
    assert (found.checkpoints.best.step, found.checkpoints.best.value) == (
        expected.checkpoints.best.step,
        expected.checkpoints.best.value,
    )


def test_two_ranks_give_way_together_though_one_was_told(
    make_job: MakeJob, tmp_path: Path, write_jsonl: Callable[..., Path]
) -> None:
    # some seconds of evaluation
    asked = write_jsonl([{"instruction": f"say {n}", "output": str(n)} for n in range(800)], "asked.jsonl")
    what = {
        "dataset": {"eval": {"path": str(asked)}},
        "evaluation": {"everySteps": 2, "microBatchSize": 1},
        "distributed": {"processesPerNode": 2, "zeroStage": 2},
        "checkpoints": {"everySteps": 0},
    }
    whole, told = make_job(what, run_directory=tmp_path / "whole"), make_job(what)
    run(whole, tmp_path / "a")
    with launched(told, tmp_path / "b") as node:
        wait_for_step(told, 2, node, tmp_path / "b")
        os.kill(ranks_of(node)[1], signal.SIGTERM)
        status, result = end_of(node, tmp_path / "b")
    assert status == ExitCode.INTERRUPTED
    assert result is not None
    assert result.step == 2
    assert [line["step"] for line in lines(told) if "evalLoss" in line] == []

    assert run(make_job(what, attempt=2), tmp_path / "c").resumed_step == 2
    assert lines(told) == lines(whole)
    assert output_weights(told) == output_weights(whole)
