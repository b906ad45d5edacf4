"""A tracker that is down, or accepts and never answers, costs a run nothing but a bounded wait at its end."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune_api import ExitCode, ResolvedJob
from finetune_trainer import rank
from finetune_trainer.metrics import Line
from finetune_trainer.tracking import fanout
from finetune_trainer.tracking.fanout import Tracking
from trackers import dead_address, silent_server

MakeJob = Callable[..., ResolvedJob]

pytestmark = pytest.mark.slow

BOUND = 2.0
"""Stands in for FINISH_SECONDS."""

SLACK = 3.0
"""For ending processes on a busy machine."""


@pytest.fixture
def silent() -> Iterator[str]:
    with silent_server() as url:
        yield url


def test_training_goes_on_and_the_operator_hears_of_it(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, silent: str
) -> None:
    monkeypatch.setattr(fanout, "FINISH_SECONDS", BOUND)
    monkeypatch.setenv("FINETUNE_REPORT_FILE", str(tmp_path / "reports"))
    monkeypatch.setenv("TRACKIO_WRITE_TOKEN", "token-of-trackio")
    spent = {"log": 0.0, "finish": 0.0}
    clocked(monkeypatch, "log", spent)
    clocked(monkeypatch, "finish", spent)
    trackers = [
        {"type": "mlflow", "url": silent},
        {"type": "trackio", "url": dead_address()},
        {"type": "tensorboard"},
    ]
    job = make_job({"tracking": {"project": "p", "trackers": trackers}})

    assert rank.run(job) == ExitCode.SUCCEEDED

    lines = (Path(job.paths.run_directory) / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]
    assert spent["log"] < 0.1
    assert spent["finish"] < BOUND + SLACK
    reports = [json.loads(line) for line in (tmp_path / "reports").read_text().splitlines()]
    warnings = {warning.split()[0]: warning for warning in reports[-1]["finetune"]["warnings"]}
    assert set(warnings) <= {"mlflow", "trackio", "tensorboard"}
    assert "mlflow got nothing of this attempt (4 rows)" in warnings["mlflow"]
    assert "trackio got nothing of this attempt (4 rows)" in warnings["trackio"]
    assert "token-of-trackio" not in json.dumps(reports)


def clocked(monkeypatch: pytest.MonkeyPatch, name: str, spent: dict[str, float]) -> None:
    """Adds up the seconds that training spends in a method of `Tracking`."""
    method = getattr(Tracking, name)

    def timed(self: Tracking, value: Line | Any) -> None:
        began = time.monotonic()
        method(self, value)
        spent[name] += time.monotonic() - began

    monkeypatch.setattr(Tracking, name, timed)


def test_a_tracked_run_that_resumes_is_one_curve(make_job: MakeJob) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracking = {"tracking": {"project": "p", "trackers": [{"type": "tensorboard"}]}}
    assert rank.run(make_job(tracking | {"training": {"maxSteps": 2}})) == ExitCode.SUCCEEDED
    job = make_job(tracking, attempt=2)
    assert rank.run(job) == ExitCode.SUCCEEDED
    events = EventAccumulator(str(Path(job.paths.run_directory) / "tracking" / "tensorboard"))
    events.Reload()
    lines = (Path(job.paths.run_directory) / "metrics.jsonl").read_text().splitlines()
    written = {line["step"]: line["loss"] for line in map(json.loads, lines)}
    told = events.Scalars("loss")
    assert [event.step for event in told] == [1, 2, 3, 4]
    assert {event.step: event.value for event in told} == pytest.approx(written)
