"""A volume that fills up, turns read-only or goes away in the middle of a run: the last good checkpoint
stays, the reason is named, and the run goes on once the volume is well. Real file systems: root is needed."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune_api import ExitCode, Reason, ResolvedJob
from finetune_trainer import rank
from finetune_trainer.checkpoints import CheckpointStore
from finetune_trainer.errors import TrainerError, classify
from finetune_trainer.interruption import StopRequest
from finetune_trainer.reporting import Reporter

MakeJob = Callable[..., ResolvedJob]

pytestmark = pytest.mark.slow

SPEC: dict[str, Any] = {"training": {"maxSteps": 6}, "checkpoints": {"everySteps": 1, "keep": 5}}


class Happens(Reporter):
    """Does something to the machine when the given step is reported: before anything of it is saved, and once
    the checkpoint of the step before is committed."""

    def __init__(self, step: int, what: Callable[[], None]) -> None:
        super().__init__([])
        self.at, self.what = step, what
        self.committed = threading.Event()

    def update(self, **fields: Any) -> None:
        super().update(**fields)
        checkpoints = fields.get("checkpoints")
        if checkpoints is not None and checkpoints.latest and checkpoints.latest.step == self.at - 1:
            self.committed.set()
        if fields.get("epoch") is not None and fields["step"] == self.at:
            assert self.committed.wait(60), "the checkpoint before is not committed"
            self.what()


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for three checkpoints."""
    place = tmp_path / "volume"
    place.mkdir()
    call("mount", "-t", "tmpfs", "-o", "size=1900k", "tmpfs", str(place))
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)


def call(*command: str) -> None:
    subprocess.run(command, check=True)


def fails(job: ResolvedJob, reporter: Reporter) -> TrainerError:
    """What the run ends by, in the trainer's terms; the libraries raise errors of many kinds."""
    try:
        rank.train(job, reporter, StopRequest())
    except Exception as error:  # noqa: BLE001 - that is what `classify` is for
        return classify(error, ranks=1, volume=Path(job.paths.run_directory))
    finally:
        rank.end_process_group()
    pytest.fail("the run should have failed")


def newest(job: ResolvedJob) -> int:
    store = CheckpointStore(Path(job.paths.run_directory), keep=5, greater_is_better=False)
    checkpoint = store.newest_whole(store.all()[-1].manifest.lineage)
    assert checkpoint is not None
    return checkpoint.step


def test_a_full_volume(make_job: MakeJob, volume: Path) -> None:
    job = make_job(SPEC, run_directory=volume / "run")
    error = fails(job, Reporter([]))
    assert (error.exit_code, error.exit_code.reason) == (ExitCode.STORAGE_ERROR, Reason.STORAGE_ERROR)
    assert "must be writable and have room" in str(error)
    assert newest(job) == 3

    call("mount", "-o", "remount,size=30m", str(volume))
    try:
        result = rank.train(
            make_job(SPEC, attempt=2, run_directory=volume / "run"), Reporter([]), StopRequest()
        )
    finally:
        rank.end_process_group()
    assert (result.outcome, result.resumed_step, result.step) == ("succeeded", 3, 6)


def test_a_volume_that_turns_read_only(make_job: MakeJob, volume: Path) -> None:
    job = make_job(SPEC, run_directory=volume / "run")
    error = fails(job, Happens(2, lambda: call("mount", "-o", "remount,ro", str(volume))))
    assert error.exit_code is ExitCode.STORAGE_ERROR
    assert "Read-only file system" in str(error)
    assert newest(job) == 1


def test_a_volume_that_goes_away(make_job: MakeJob, volume: Path) -> None:
    (volume.parent / "kept").mkdir()
    call("mount", "--bind", str(volume), str(volume.parent / "kept"))
    job = make_job(SPEC, run_directory=volume / "run")
    try:
        error = fails(job, Happens(2, lambda: call("umount", "-l", str(volume))))
        assert error.exit_code is ExitCode.STORAGE_ERROR
        assert "No such file or directory" in str(error)
        kept = make_job(SPEC, run_directory=volume.parent / "kept" / "run")
        assert newest(kept) == 1
    finally:
        call("umount", "-l", str(volume.parent / "kept"))


def test_a_volume_without_room_for_one_checkpoint_is_refused_before_the_first_step(
    make_job: MakeJob, volume: Path
) -> None:
    (volume / "other").write_bytes(b"x" * 1_600_000)
    job = make_job(SPEC, run_directory=volume / "run")
    error = fails(job, Reporter([]))
    assert error.exit_code is ExitCode.STORAGE_ERROR
    assert "one checkpoint of this run takes about 0.5 MiB" in str(error)
    assert not (volume / "run" / "metrics.jsonl").exists()
