"""A whole run whose loss runs away ends by the stated rule, and keeps what was good."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api import ExitCode, ResolvedJob
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.errors import DivergedError
from finetune_trainer.reporting import Reporter
from finetune_trainer.training.guards import SPIKES
from one_rank import DiesAt, Killed, train
from runs import losses

MakeJob = Callable[..., ResolvedJob]

pytestmark = pytest.mark.slow

BATCH = 4
"""Records of an optimizer step in these jobs."""
WINDOW = 12
LEARNED = 20
"""Steps over records that are all alike, before those of another task come."""
DIVERGES = LEARNED + SPIKES
EVERY = 2

KNOWN = {"instruction": "add 1 and 1", "output": "2"}
UNKNOWN = [{"instruction": "add", "output": letter * 5 + "!?"} for letter in "QWXYZKJVBGFP"]

SPEC: dict[str, Any] = {
    "training": {"sampling": "sequential", "maxSteps": LEARNED + 10},
    "failurePolicy": {"divergence": {"spikeDeviations": 10, "windowSteps": WINDOW}},
    "checkpoints": {"everySteps": EVERY},
}


@pytest.fixture
def make(make_job: MakeJob, write_jsonl: Callable[..., Path], tmp_path: Path) -> MakeJob:
    write_jsonl([KNOWN] * BATCH * LEARNED + UNKNOWN * BATCH)
    return lambda name, attempt=1: make_job(SPEC, attempt=attempt, run_directory=tmp_path / name)


def divergence(job: ResolvedJob) -> str:
    """What a run says that ends by diverging."""
    with pytest.raises(DivergedError) as told:
        train(job)
    assert told.value.exit_code == ExitCode.DIVERGED
    return str(told.value)


def assert_what_was_good_is_kept(job: ResolvedJob) -> None:
    store = CheckpointStore(Path(job.paths.run_directory), keep=3, greater_is_better=False)
    latest = store.latest()
    assert latest is not None
    assert latest.step == (DIVERGES - 1) // EVERY * EVERY
    assert [step for step, _ in losses(job)] == list(range(1, DIVERGES))
    output = Path(job.paths.output_directory)
    assert not output.exists() or list(output.iterdir()) == []


def test_a_run_diverges_by_the_rule_and_at_the_same_step_when_it_was_killed_before(make: MakeJob) -> None:
    whole = make("whole")
    message = divergence(whole)
    assert f"step {DIVERGES}: {SPIKES} losses in a row are outliers: " in message
    assert_what_was_good_is_kept(whole)

    # so few steps before the end that a window which begins anew is not full there
    killed = DIVERGES - WINDOW + 2
    with pytest.raises(Killed):
        train(make("broken"), DiesAt(killed))
    again = make("broken", attempt=2)
    assert divergence(again) == message
    assert_what_was_good_is_kept(again)
    assert losses(again) == losses(whole)


@pytest.fixture
def learned(make_job: MakeJob, write_jsonl: Callable[..., Path], tmp_path: Path) -> Path:
    """A model that knows these answers by heart; the job's data is the same."""
    write_jsonl([{"instruction": f"add {letter}", "output": letter * 3} for letter in "abcdefghijkl"])
    training = {"maxSteps": 120, "microBatchSize": 12, "gradientAccumulationSteps": 1}
    job = make_job({"training": training}, run_directory=tmp_path / "learned")
    train(job)
    return Path(job.paths.output_directory) / "model"


def test_without_a_limit_a_spoilt_run_goes_on_and_says_so_to_its_end_and_a_good_one_says_nothing(
    make_job: MakeJob, learned: Path, tmp_path: Path
) -> None:
    """The rate spoils the model within three steps, before there is a window of good losses."""

    def told(name: str, rate: float) -> tuple[list[str], str, dict[int, int]]:
        training = {"maxSteps": 40, "learningRate": rate, "schedule": {"type": "constant"}}
        job = make_job({"model": {"path": str(learned)}, "training": training}, run_directory=tmp_path / name)
        reporter = Reporter([])
        result = train(job, reporter)
        assert result.outcome == "succeeded"
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        counted = {line["step"]: line["offCurveSteps"] for line in map(json.loads, lines)}
        return reporter.report.warnings, result.message, counted

    warnings, message, counted = told("good", 1e-3)
    assert (warnings, "curve" in message, counted[40]) == ([], False, 0)

    (warning,), message, counted = told("spoilt", 0.3)
    found = re.match(r"step (\d+): the loss \(median of 20 steps\) is \S+ and was 0\.", warning)
    assert found is not None, warning
    left = int(found[1])
    assert f"the loss left its curve at step {left} and has not come back" in message
    assert (counted[left - 1], counted[left]) == (0, 1)
