"""Another engine: a class with one method, its name in the table, its value in validation (docs/engines.md).

It is run, stopped, resumed and refused as every engine is; `rank.py` knows nothing of it.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from finetune_api import ExitCode, Reason, ResolvedJob, TrainingResult
from finetune_api.lineage import lineage_hash
from finetune_api.validation import capabilities
from finetune_trainer import rank
from finetune_trainer.checkpoints.manifest import Manifest
from finetune_trainer.checkpoints.store import CheckpointStore, checkpoints_status
from finetune_trainer.engines import ENGINES
from finetune_trainer.engines.base import refuse_invalid
from finetune_trainer.errors import DataError, InterruptedRunError
from finetune_trainer.interruption import StopRequest
from finetune_trainer.reporting import Reporter
from finetune_trainer.tracking.fanout import Tracking

MakeJob = Callable[..., ResolvedJob]

STEPS = 6


class Counter:
    """Trains a number: each step adds one to it."""

    def __init__(self, told_at: int | None = None, broken: bool = False) -> None:
        self.told_at = told_at
        """The step in which the pod is evicted."""
        self.broken = broken

    def train(
        self, job: ResolvedJob, reporter: Reporter, stop: StopRequest, tracking: Tracking
    ) -> TrainingResult:
        refuse_invalid(job)
        if self.broken:
            raise DataError("train.jsonl, line 3: no number")
        store = CheckpointStore(Path(job.paths.run_directory), keep=2, greater_is_better=False)
        found = store.newest_whole(lineage_hash(job.spec))
        number = int((found.path / "number").read_text()) if found else 0
        store.prepare()
        tracking.start(job, resumed_step=number or None, effective={})
        for step in range(number + 1, STEPS + 1):
            number += 1
            reporter.update(step=step, total_steps=STEPS, metrics={"loss": str(STEPS - step)})
            if step == self.told_at:
                os.kill(os.getpid(), signal.SIGTERM)
            if stop.requested:
                self._save(store, job, step)
                reporter.update(checkpoints=checkpoints_status(store))
                raise InterruptedRunError(f"stopped after step {step}")
        return TrainingResult(
            outcome="succeeded",
            reason=Reason.SUCCEEDED,
            exit_code=0,
            step=number,
            total_steps=STEPS,
            resumed_step=found.step if found else None,
            metrics=reporter.metrics,
        )

    def _save(self, store: CheckpointStore, job: ResolvedJob, step: int) -> None:
        staged = store.staging / f"checkpoint-{step}"
        staged.mkdir(parents=True)
        (staged / "number").write_text(str(step))
        manifest = Manifest(
            job=job.job.name,
            job_uid=job.job.uid,
            attempt=job.attempt,
            lineage=lineage_hash(job.spec),
            step=step,
            epoch=0.0,
            world_size=1,
            zero_stage=0,
            deepspeed=False,
            time=datetime.now(UTC),
        )
        store.commit(staged, manifest)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Callable[[Counter], None]:
    """Puts an engine into the table and into validation."""

    def add(counter: Counter) -> None:
        monkeypatch.setitem(ENGINES, "llamafactory", counter)
        limits = [
            replace(limit, values=(*(limit.values or ()), "llamafactory"))
            if limit.path == "training.engine"
            else limit
            for limit in capabilities.LIMITS
        ]
        monkeypatch.setattr(capabilities, "LIMITS", tuple(limits))

    return add


@pytest.fixture
def job(make_job: MakeJob) -> Callable[..., ResolvedJob]:
    def make(attempt: int = 1) -> ResolvedJob:
        return make_job({"training": {"engine": "llamafactory"}}, attempt=attempt)

    return make


def message(tmp_path: Path) -> TrainingResult:
    found = TrainingResult.from_termination_message((tmp_path / "termination-message").read_text())
    assert found is not None
    return found


def test_its_result_is_the_ranks_result(
    engine: Callable[[Counter], None], job: Callable[..., ResolvedJob], tmp_path: Path
) -> None:
    engine(Counter())
    assert rank.run(job()) == ExitCode.SUCCEEDED
    assert message(tmp_path).step == STEPS
    assert message(tmp_path).metrics == {"loss": "0"}


def test_it_is_told_to_end_and_goes_on(
    engine: Callable[[Counter], None], job: Callable[..., ResolvedJob], tmp_path: Path
) -> None:
    engine(Counter(told_at=4))
    assert rank.run(job()) == ExitCode.INTERRUPTED
    first = message(tmp_path)
    assert (first.outcome, first.step) == ("interrupted", 4)
    assert first.checkpoints is not None
    assert first.checkpoints.latest is not None
    assert first.checkpoints.latest.step == 4
    engine(Counter())
    assert rank.run(job(attempt=2)) == ExitCode.SUCCEEDED
    assert (message(tmp_path).resumed_step, message(tmp_path).step) == (4, STEPS)


def test_its_failures_have_their_own_exit_codes(
    engine: Callable[[Counter], None], job: Callable[..., ResolvedJob], tmp_path: Path
) -> None:
    engine(Counter(broken=True))
    assert rank.run(job()) == ExitCode.DATA_ERROR
    assert "line 3" in message(tmp_path).message


def test_until_validation_knows_it_its_jobs_are_refused(
    job: Callable[..., ResolvedJob], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(ENGINES, "llamafactory", Counter())
    assert rank.run(job()) == ExitCode.INVALID_CONFIG
    assert "training.engine" in message(tmp_path).message
