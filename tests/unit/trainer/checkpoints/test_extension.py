"""A finished run that is asked for more steps or epochs goes on as if it had been asked for them at once.

There are 20 records, in steps of 4."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api import ResolvedJob
from one_rank import train
from runs import output_weights

MakeJob = Callable[..., ResolvedJob]

pytestmark = pytest.mark.slow


def curve(job: ResolvedJob, name: str) -> dict[int, float]:
    lines = (Path(job.paths.run_directory) / "metrics.jsonl").read_text().splitlines()
    return {line["step"]: line[name] for line in map(json.loads, lines) if name in line}


def spec(duration: dict[str, Any], schedule: str, method: str = "full") -> dict[str, Any]:
    return {
        "method": {"type": method},
        "training": {"maxSteps": None, "schedule": {"type": schedule, "warmupSteps": 2}} | duration,
    }


@pytest.mark.parametrize(
    ("short", "long", "method", "streaming", "done", "steps"),
    [
        ({"maxSteps": 3}, {"maxSteps": 7}, "full", True, 3, 7),
        ({"epochs": 0.5}, {"epochs": 1.5}, "lora", False, 3, 8),
    ],
    ids=["steps of a stream", "epochs"],
)
def test_an_extended_run_is_the_longer_run_bit_for_bit(
    make_job: MakeJob,
    tmp_path: Path,
    short: dict[str, Any],
    long: dict[str, Any],
    method: str,
    streaming: bool,
    done: int,
    steps: int,
) -> None:
    at_once = make_job(spec(long, "constant", method), run_directory=tmp_path / "at once")
    train(at_once)
    data = {"dataset": {"streaming": streaming}}
    assert train(make_job(spec(short, "constant", method) | data)).step == done
    extended = make_job(spec(long, "constant", method) | data)
    result = train(extended)
    assert (result.resumed_step, result.step, result.total_steps) == (done, steps, steps)
    assert curve(extended, "loss") == curve(at_once, "loss")
    assert output_weights(extended) == output_weights(at_once)


def test_the_learning_rate_goes_on_as_in_a_run_of_the_new_length(make_job: MakeJob, tmp_path: Path) -> None:
    at_once = make_job(spec({"maxSteps": 8}, "cosine"), run_directory=tmp_path / "at once")
    train(at_once)
    train(make_job(spec({"maxSteps": 4}, "cosine")))
    extended = make_job(spec({"maxSteps": 8}, "cosine"))
    train(extended)
    wanted, found = curve(at_once, "learningRate"), curve(extended, "learningRate")
    assert {step: rate for step, rate in found.items() if step > 4} == {
        step: rate for step, rate in wanted.items() if step > 4
    }
    assert found[4] < wanted[4], "the first part had its own, shorter decay"
