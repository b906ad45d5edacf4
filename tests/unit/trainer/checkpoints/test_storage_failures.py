"""A volume that fills up, turns read-only or goes away in the middle of a run: the last good checkpoint
stays, the reason is named, and the run goes on once the volume is well. Real file systems: root is needed."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from finetune_api import ExitCode, Reason, ResolvedJob, TrainingResult
from finetune_trainer.checkpoints import store as checkpoints
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.engines import native
from finetune_trainer.errors import TrainerError, classify
from finetune_trainer.files import FileEntry, describe_files
from finetune_trainer.interruption import StopRequest
from finetune_trainer.reporting import Reporter

MakeJob = Callable[..., ResolvedJob]

pytestmark = pytest.mark.slow

SPEC: dict[str, Any] = {"training": {"maxSteps": 6}, "checkpoints": {"everySteps": 1, "keep": 5}}


class Happens(Reporter):
    """Does something to the machine when the given step is reported, before anything of it is saved and once
    the checkpoint of the step before is committed; or when an activity begins."""

    def __init__(self, what: Callable[[], None], *, step: int = 0, activity: str | None = None) -> None:
        super().__init__([])
        self.what, self.at, self.activity = what, step, activity
        self.committed = threading.Event()

    def update(self, **fields: Any) -> None:
        super().update(**fields)
        told = fields.get("checkpoints")
        latest = told.latest if told is not None else None
        if latest is not None and latest.step == self.at - 1:
            self.committed.set()
        if fields.get("epoch") is not None and fields["step"] == self.at:
            assert self.committed.wait(60), "the checkpoint before is not committed"
            self.what()
        if self.activity is not None and fields.get("activity") == self.activity:
            self.what()


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    place = tmp_path / "volume"
    place.mkdir()
    call("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place))
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)


def call(*command: str) -> None:
    subprocess.run(command, check=True)


def fails(job: ResolvedJob, reporter: Reporter) -> TrainerError:
    """What the run ends by, in the trainer's terms; the libraries raise errors of many kinds."""
    try:
        native.train(job, reporter, StopRequest())
    except Exception as error:  # noqa: BLE001 - that is what `classify` is for
        return classify(error, ranks=1, volume=Path(job.paths.run_directory))
    finally:
        native.end_process_group()
    pytest.fail("the run should have failed")


def succeeds(job: ResolvedJob) -> TrainingResult:
    try:
        return native.train(job, Reporter([]), StopRequest())
    finally:
        native.end_process_group()


def newest(job: ResolvedJob) -> int:
    store = CheckpointStore(Path(job.paths.run_directory), keep=5, greater_is_better=False)
    checkpoint = store.newest_whole(store.all()[-1].manifest.lineage)
    assert checkpoint is not None
    return checkpoint.step


def fill(path: Path) -> None:
    """Leaves no room on a volume, as another of its users may."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_volume_that_fills_up(make_job: MakeJob, volume: Path) -> None:
    job = make_job(SPEC, run_directory=volume / "run")
    error = fails(job, Happens(lambda: fill(volume / "other"), step=4))
    assert (error.exit_code, error.exit_code.reason) == (ExitCode.STORAGE_ERROR, Reason.STORAGE_ERROR)
    assert "must be writable and have room" in str(error)
    assert newest(job) == 3

    (volume / "other").unlink()
    result = succeeds(make_job(SPEC, attempt=2, run_directory=volume / "run"))
    assert (result.resumed_step, result.step) == (3, 6)


def test_a_volume_that_fills_up_while_the_result_is_written(
    make_job: MakeJob, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last checkpoint, which is hashed meanwhile, is not lost."""
    job = make_job(SPEC, run_directory=volume / "run")
    full = threading.Event()

    def hash_late(directory: Path) -> list[FileEntry]:
        assert directory.name != "checkpoint-6" or full.wait(60)
        return describe_files(directory)

    def fill_all() -> None:
        fill(volume / "other")
        full.set()

    monkeypatch.setattr(checkpoints, "describe_files", hash_late)
    error = fails(job, Happens(fill_all, activity="exporting"))
    assert error.exit_code is ExitCode.STORAGE_ERROR
    assert "must be writable and have room" in str(error)
    assert newest(job) == 6
    output = Path(job.paths.output_directory)
    assert not (output / "model").exists()

    (volume / "other").unlink()
    (output / ".merged.tmp").mkdir()
    fill(output / ".merged.tmp" / "model.safetensors")  # half-written: the next attempt takes it away
    result = succeeds(make_job(SPEC, attempt=2, run_directory=volume / "run"))
    assert (result.resumed_step, result.step) == (6, 6)
    assert result.output is not None
    assert result.output.verified


def test_a_volume_that_turns_read_only(make_job: MakeJob, volume: Path) -> None:
    job = make_job(SPEC, run_directory=volume / "run")
    error = fails(job, Happens(lambda: call("mount", "-o", "remount,ro", str(volume)), step=2))
    assert error.exit_code is ExitCode.STORAGE_ERROR
    assert "Read-only file system" in str(error)
    assert newest(job) == 1


def test_a_volume_that_goes_away(make_job: MakeJob, volume: Path) -> None:
    (volume.parent / "kept").mkdir()
    call("mount", "--bind", str(volume), str(volume.parent / "kept"))
    job = make_job(SPEC, run_directory=volume / "run")
    try:
        error = fails(job, Happens(lambda: call("umount", "-l", str(volume)), step=2))
        assert error.exit_code is ExitCode.STORAGE_ERROR
        assert "No such file or directory" in str(error)
        kept = make_job(SPEC, run_directory=volume.parent / "kept" / "run")
        assert newest(kept) == 1
    finally:
        call("umount", "-l", str(volume.parent / "kept"))


def test_a_volume_without_room_for_all_that_will_lie_there_is_refused_before_the_first_step(
    make_job: MakeJob, volume: Path
) -> None:
    (volume / "other").write_bytes(b"x" * 6_000_000)
    job = make_job(SPEC, run_directory=volume / "run")
    error = fails(job, Reporter([]))
    assert error.exit_code is ExitCode.STORAGE_ERROR
    assert "6 more checkpoints at once, of 0.5 MiB each" in str(error)
    assert not (volume / "run" / "metrics.jsonl").exists()
