"""Following a job through what a connection and another version of the product do to it."""

from collections.abc import Iterator
from typing import Any

import pytest

from finetune_cli.cluster.client import Interrupted
from finetune_cli.cluster.follow import is_finished, wait_until
from finetune_cli.commands.watch import watch_all


def job(version: str, phase: str) -> dict[str, Any]:
    metadata = {"name": "tune", "generation": 1, "resourceVersion": version}
    return {"metadata": metadata, "status": {"observedGeneration": 1, "phase": phase}}


class BrokenOnce:
    """A cluster whose first watch breaks off; the job has ended meanwhile."""

    def __init__(self) -> None:
        self.answers = iter([job("1", "Training"), job("2", "Succeeded")])

    def get(self, _name: str) -> dict[str, Any]:
        return next(self.answers)

    def watch(self, *_: Any) -> Iterator[dict[str, Any]]:
        raise Interrupted("IncompleteRead")


class Stalled:
    """A cluster with one stalled job, which goes on once someone looks again."""

    def __init__(self, reason: str) -> None:
        condition = {"type": "Stalled", "status": "True", "reason": reason, "message": "spec.x: mend it"}
        stalled = job("1", "Stalled")
        stalled["status"]["conditions"] = [{"type": "Ready", "status": "False"}, condition]
        self.answers = iter([stalled, job("2", "Succeeded")])

    def get(self, _name: str) -> dict[str, Any]:
        return next(self.answers)

    def watch(self, *_: Any) -> Iterator[dict[str, Any]]:
        return iter(())


class Ended:
    """A cluster with one job, in a phase."""

    def __init__(self, phase: str) -> None:
        self.phase = phase

    def get(self, _name: str) -> dict[str, Any]:
        found = job("1", self.phase)
        found["status"]["conditions"] = "what a later version writes there"
        return found


def test_a_connection_that_breaks_off_does_not_end_the_wait() -> None:
    ended = wait_until(BrokenOnce(), "tune", is_finished, timeout=9)  # type: ignore[arg-type]
    assert ended is not None
    assert ended["metadata"]["resourceVersion"] == "2"


@pytest.mark.parametrize(("phase", "status"), [("Succeeded", 0), ("Failed", 1)])
def test_the_end_of_a_job_is_told_by_a_status_that_this_version_cannot_read(
    phase: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert watch_all(Ended(phase), ["tune"], timeout=9) == status  # type: ignore[arg-type]
    assert capsys.readouterr().out == f"tune: {phase}\n"


@pytest.mark.parametrize(
    ("reason", "status", "says"),
    [
        ("InvalidSpec", 1, "tune: Stalled, InvalidSpec: spec.x: mend it\n"),
        ("NameConflict", 1, "tune: Stalled, NameConflict: spec.x: mend it\n"),
        ("DirectoryInUse", 0, "tune: Succeeded\n"),
        ("UnknownPreset", 0, "tune: Succeeded\n"),
        ("NoNodeFits", 0, "tune: Succeeded\n"),
    ],
)
def test_a_stalled_job_is_followed_only_where_time_may_mend_it(
    reason: str, status: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert watch_all(Stalled(reason), ["tune"], timeout=9) == status  # type: ignore[arg-type]
    assert capsys.readouterr().out == says
