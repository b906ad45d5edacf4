"""A tracker's process: it answers every message, whatever the library does."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.tracking import process
from finetune_trainer.tracking.base import Ending, TrackedRun, Values
from finetune_trainer.tracking.messages import Finish, Row, Start, Upload
from finetune_trainer.tracking.process import one_line, serve
from trackers import tracked


class Recorder:
    """A tracker that fails when it is told to."""

    def __init__(self, **failures: BaseException) -> None:
        self.failures = failures
        self.calls: list[str] = []

    def start(self, run: TrackedRun) -> None:  # noqa: ARG002
        self._do("start")

    def log(self, step: int, values: Values) -> None:  # noqa: ARG002
        self._do("log")

    def upload(self, directory: Path, name: str) -> None:  # noqa: ARG002
        assert directory.is_dir()
        self._do("upload")

    def finish(self, ending: Ending) -> None:
        self._do(f"finish {ending.outcome}")

    def _do(self, call: str) -> None:
        self.calls.append(call)
        failure = self.failures.pop(call, None)
        if failure is not None:
            raise failure


def answers(tracker: Recorder, *messages: Start | Row | Upload | Finish) -> list[dict[str, Any]]:
    replies = BytesIO()
    lines = "".join(f"{message.model_dump_json()}\n" for message in messages)
    serve(tracker, BytesIO(lines.encode()), replies)
    return [json.loads(line) for line in replies.getvalue().splitlines()]


ROW = Row(step=1, values={"loss": 1.0})
FINISH = Finish(ending=Ending(outcome="succeeded"))


def test_each_message_is_answered(tmp_path: Path) -> None:
    tracker = Recorder()
    replies = answers(tracker, Start(run=tracked(tmp_path)), ROW, FINISH)
    assert [reply["kind"] for reply in replies] == ["start", "row", "finish"]
    assert tracker.calls == ["start", "log", "finish succeeded"]


@pytest.mark.parametrize("failure", [ValueError("bad row\nwith details"), SystemExit("bad row")])
def test_a_row_that_fails_is_said_and_the_next_one_is_tried(tmp_path: Path, failure: BaseException) -> None:
    tracker = Recorder(log=failure)
    replies = answers(tracker, Start(run=tracked(tmp_path)), ROW, ROW, FINISH)
    assert [reply["error"] for reply in replies] == [None, f"{type(failure).__name__}: bad row", None, None]


def test_a_tracker_that_cannot_start_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "START_AGAIN_SECONDS", 0.0)
    replies = answers(Recorder(start=OSError("down")), Start(run=tracked(tmp_path)), ROW, FINISH)
    assert [(reply["kind"], reply["error"]) for reply in replies] == [
        ("start", "OSError: down"),
        ("start", None),
        ("row", None),
        ("finish", None),
    ]


def test_uploaded_files_are_removed_also_when_that_failed(tmp_path: Path) -> None:
    directory = tmp_path / "step-2"
    directory.mkdir()
    tracker = Recorder(upload=OSError("full"))
    replies = answers(
        tracker, Start(run=tracked(tmp_path)), Upload(directory=directory, name="step-2"), FINISH
    )
    assert replies[1]["error"] == "OSError: full"
    assert not directory.exists()


def test_a_run_whose_rank_is_gone_is_ended_as_failed(tmp_path: Path) -> None:
    tracker = Recorder()
    answers(tracker, Start(run=tracked(tmp_path)), ROW)
    assert tracker.calls[-1] == "finish failed"


def test_no_key_is_in_an_error() -> None:
    assert one_line("denied for k3y-of-comet\n…", {"COMET_API_KEY": "k3y-of-comet"}) == "denied for ***"
    assert len(one_line("x" * 1000, {})) == 200
