"""Tokenised data on disk: found again by content, made by one process, never taken when it is not whole."""

import errno
import fcntl
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from finetune_trainer.data import cache, stored
from finetune_trainer.data.cache import cached, exclusive, remove_unused
from finetune_trainer.data.dataset import DataFacts, TokenizedDataset
from finetune_trainer.data.examples import Origin
from finetune_trainer.data.rendering import Tokens
from finetune_trainer.data.stored import StoredSequences


def dataset() -> TokenizedDataset:
    sequences = [
        Tokens(np.arange(length, dtype=np.int32), np.full(length, -100, np.int32), Origin(name, line), 3, 2)
        for length, name, line in [(4, "a", 1), (2, "b", 7), (5, "a", 2)]
    ]
    return TokenizedDataset(sequences, DataFacts(3, 3, 11, 8, truncated=3, cut_tokens=9))


class Made:
    """Makes the data, and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> TokenizedDataset:
        self.times += 1
        return dataset()


def same(one: TokenizedDataset, two: TokenizedDataset) -> bool:
    return one.facts == two.facts and all(
        (a.ids == b.ids).all()
        and (a.labels == b.labels).all()
        and (a.origin, a.cut, a.cut_supervised) == (b.origin, b.cut, b.cut_supervised)
        for a, b in zip(one.sequences, two.sequences, strict=True)
    )


def test_what_was_made_once_is_found_again(tmp_path: Path) -> None:
    make = Made()
    first, second = cached(tmp_path, "k", make), cached(tmp_path, "k", make)
    assert make.times == 1
    assert same(first, second)
    assert same(second, dataset())
    cached(tmp_path, "other", make)
    assert make.times == 2


def test_stored_data_is_trained_on_as_any_other(tmp_path: Path) -> None:
    make = Made()
    cached(tmp_path, "k", make)
    data = cached(tmp_path, "k", make)
    assert data.lengths() == [4, 2, 5]
    assert data.tokens_in([0, 2, 3]) == 9
    assert data.collate([data[0], data[1], data[3]], 9)["input_ids"].shape == (3, 4)
    assert [tokens.origin.line for tokens in data.sequences[1:]] == [7, 2]
    with pytest.raises(IndexError):
        data.sequences[3]


def test_what_is_kept_is_not_in_memory_too(tmp_path: Path) -> None:
    made = cached(tmp_path, "k", Made())
    assert isinstance(made.sequences, StoredSequences)


def test_rows_and_elements_are_numbers_under_the_name_of_their_file(tmp_path: Path) -> None:
    """A name for each would take more than the row itself, in the file and in memory."""
    origins = [Origin("a.parquet", row, "row") for row in range(1, 1000)]
    origins += [Origin("b.json", place, "element") for place in range(1, 1000)]
    ids = np.zeros(1, np.int32)
    stored.write(tmp_path, (Tokens(ids, ids, origin) for origin in origins))
    sequences = stored.read(tmp_path)
    assert [tokens.origin for tokens in sequences] == origins
    assert list(map(str, sequences.names)) == ["a.parquet", "b.json"]
    assert (str(sequences[1].origin), str(sequences[1000].origin)) == ("a.parquet, row 2", "b.json[1]")


def test_data_without_a_key_is_not_kept(tmp_path: Path) -> None:
    make = Made()
    for _ in range(2):
        cached(tmp_path, None, make)
    assert make.times == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["ids", "labels", "ends", "note_ends", "names.json", "meta.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_data_that_is_not_whole_is_made_again(tmp_path: Path, name: str, damage: str) -> None:
    make = Made()
    cached(tmp_path, "k", make)
    file = tmp_path / "k" / name
    content = file.read_bytes()
    file.unlink()
    if damage == "cut":
        file.write_bytes(content[:-4])
    assert same(cached(tmp_path, "k", make), dataset())
    assert same(cached(tmp_path, "k", make), dataset())
    assert make.times == 2


def test_a_writer_that_was_killed_leaves_nothing_that_is_taken_or_stays(tmp_path: Path) -> None:
    (tmp_path / ".k.dead.tmp").mkdir()
    make = Made()
    cached(tmp_path, "k", make)
    assert make.times == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["k", "lock"]


def test_a_full_disk_costs_a_warning_and_leaves_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_directory: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache, "sync_tree", full)
    assert same(cached(tmp_path, "k", Made()), dataset())
    assert "No space left on device" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_an_error_while_making_is_passed_on_and_frees_the_lock(tmp_path: Path) -> None:
    def fail() -> TokenizedDataset:
        raise RuntimeError("broken record")

    with pytest.raises(RuntimeError, match="broken record"):
        cached(tmp_path, "k", fail)
    assert same(cached(tmp_path, "k", Made()), dataset())


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that knows no locks."""

    def refuse(_handle: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("without_locks")
def test_without_locks_what_another_process_writes_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = tmp_path / ".k.theirs.tmp"
    theirs.mkdir()
    assert same(cached(tmp_path, "k", Made()), dataset())
    assert theirs.is_dir()
    assert "cannot be locked" in caplog.text


@pytest.mark.usefixtures("without_locks")
def test_without_locks_what_another_process_has_finished_meanwhile_is_used(tmp_path: Path) -> None:
    def overtaken() -> TokenizedDataset:
        cached(tmp_path, "k", Made())
        (tmp_path / "k" / "theirs").touch()
        return dataset()

    assert same(cached(tmp_path, "k", overtaken), dataset())
    assert (tmp_path / "k" / "theirs").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["k", "lock"]


HOLDER = """
import fcntl, os, sys
handle = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)
fcntl.flock(handle, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(file: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the lock of a file until it is killed."""
    command = [sys.executable, "-c", HOLDER, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the lock of all tokens."""
    with held(tmp_path / "lock") as process:
        yield process


def test_a_holder_that_is_killed_gives_the_lock_up(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    with (tmp_path / "lock").open("w") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    holder.kill()
    with exclusive(tmp_path / "lock"):
        pass


OLD, NEW = "0" * 64, "f" * 64


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_tokens_that_nothing_reads_any_more_are_removed_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for key in (OLD, NEW):
        # given up at once by the first one, held by this test for the second
        data = cached(tmp_path, key, Made())
    (tmp_path / f".{OLD}.{'1' * 32}.tmp").mkdir()
    (tmp_path / "not-ours").mkdir()
    remove_unused(tmp_path)
    assert names(tmp_path) == [NEW, "lock", "not-ours"]
    assert f"removed: {OLD} (" in caplog.text
    assert same(data, dataset())


def test_tokens_that_a_part_of_them_still_shows_stay(tmp_path: Path) -> None:
    part = cached(tmp_path, OLD, Made()).part([2])
    remove_unused(tmp_path)
    assert names(tmp_path) == [OLD, "lock"]
    assert len(part) == 1


def test_who_reads_tokens_holds_a_lock_on_them_until_it_gives_them_up(tmp_path: Path) -> None:
    data = cached(tmp_path, OLD, Made())
    with (tmp_path / OLD / cache.META).open("r+b") as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        del data
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_tokens_that_another_process_reads_stay_until_it_ends(tmp_path: Path) -> None:
    cached(tmp_path, OLD, Made())
    with held(tmp_path / OLD / cache.META):
        remove_unused(tmp_path)
        assert names(tmp_path) == [OLD, "lock"]
    remove_unused(tmp_path)
    assert names(tmp_path) == ["lock"]


def test_tokens_that_cannot_be_removed_cost_a_warning_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_place: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    (tmp_path / OLD).mkdir()
    monkeypatch.setattr(shutil, "rmtree", refuse)
    remove_unused(tmp_path)
    assert "cannot be removed: [Errno 30] Read-only file system" in caplog.text


def test_where_another_process_is_at_work_all_is_left_as_it_is(
    tmp_path: Path, holder: "subprocess.Popen[str]"
) -> None:
    (tmp_path / OLD).mkdir()
    remove_unused(tmp_path)
    assert (tmp_path / OLD).is_dir()
    assert holder.poll() is None


@pytest.mark.usefixtures("without_locks")
def test_without_locks_nothing_is_removed(tmp_path: Path) -> None:
    (tmp_path / OLD).mkdir()
    remove_unused(tmp_path)
    assert (tmp_path / OLD).is_dir()
