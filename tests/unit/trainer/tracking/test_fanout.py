"""All trackers of a run: what they are given, and what is said of those in trouble."""

from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_api import Reason, ResolvedJob, TrainingResult
from finetune_trainer.reporting import Reporter
from finetune_trainer.tracking import fanout
from finetune_trainer.tracking.fanout import Tracking, summary
from finetune_trainer.tracking.feed import Tally

MakeJob = Callable[..., ResolvedJob]

RESULT = TrainingResult(outcome="succeeded", reason=Reason.SUCCEEDED, exit_code=0, metrics={"loss": "1.5"})


def test_a_run_without_trackers_is_told_to_nobody(make_job: MakeJob, tmp_path: Path) -> None:
    reporter = Reporter([])
    tracking = Tracking(reporter)
    tracking.start(make_job(), resumed_step=None, effective={})
    tracking.log({"step": 1, "loss": 1.0})
    tracking.upload(tmp_path / "nowhere")
    tracking.finish(RESULT)
    assert reporter.report.warnings == []


def test_a_run_that_failed_before_its_start_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").touch()
    monkeypatch.chdir(tmp_path)
    Tracking(Reporter([])).finish(RESULT)
    assert (tmp_path / "mine").exists()


def test_a_tracker_whose_process_cannot_start_is_a_warning(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("too many processes")

    monkeypatch.setattr(fanout, "Feed", refuse)
    reporter = Reporter([])
    tracking = Tracking(reporter)
    job = make_job({"tracking": {"project": "p", "trackers": [{"type": "tensorboard"}]}})
    tracking.start(job, resumed_step=None, effective={})
    tracking.finish(RESULT)
    assert reporter.report.warnings == ["tensorboard gets nothing of this run: too many processes"]


class Hanging:
    """A tracker that never confirms the end; it keeps how long it was waited for."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.waited: list[float] = []

    def offer(self, _message: object) -> None: ...

    def conclude(self, _message: object) -> None: ...

    def wait_for_uploads(self, seconds: float) -> None:
        self.waited.append(round(seconds))

    def close(self, seconds: float) -> Tally:
        self.waited.append(round(seconds))
        return self.tally


@pytest.mark.parametrize(
    ("tally", "outcome", "waited"),
    [
        (Tally(), "succeeded", [30]),
        (Tally(uploads=3, uploaded=1, given_up=2), "succeeded", [30]),
        (Tally(uploads=1), "succeeded", [300, 30]),
        (Tally(uploads=1), "failed", [30]),
        (Tally(uploads=1), "interrupted", [5]),
    ],
    ids=["no uploads", "nothing left to upload", "one is on its way", "of a run that failed", "told to end"],
)
def test_only_an_upload_on_its_way_holds_up_the_end_for_long(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, tally: Tally, outcome: str, waited: list[int]
) -> None:
    hanging = Hanging(tally)
    monkeypatch.setattr(fanout, "Feed", lambda *_, **__: hanging)
    tracking = Tracking()
    job = make_job({"tracking": {"project": "p", "trackers": [{"type": "wandb"}]}})
    tracking.start(job, resumed_step=None, effective={})
    tracking.finish(RESULT.model_copy(update={"outcome": outcome}))
    assert hanging.waited == waited


@pytest.mark.parametrize(
    ("tally", "said"),
    [
        (Tally(rows=9, error="down"), "wandb got nothing of this attempt (9 rows): down"),
        (Tally(rows=9, kept=7, started=True, error="full"), "wandb missed 2 of 9 rows: full"),
        (
            Tally(rows=9, kept=9, started=True, finished=True, uploads=2, uploaded=1, error="large"),
            "wandb missed 0 of 9 rows and 1 of 2 checkpoints: large",
        ),
        (
            Tally(rows=9, kept=9, started=True, error="late"),
            "wandb took all 9 rows, but did not confirm the end: some may be missing there: late",
        ),
    ],
)
def test_what_was_lost_is_said_in_numbers(tally: Tally, said: str) -> None:
    assert summary("wandb", tally) == f"{said}. metrics.jsonl has all of them"
