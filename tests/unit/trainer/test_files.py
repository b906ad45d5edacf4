"""Writing that survives a crash."""

import threading
from pathlib import Path

import pytest

from finetune_trainer import files
from finetune_trainer.files import (
    describe_files,
    hash_file,
    link_tree,
    staged_as,
    sync_tree,
    what_is_wrong,
    write_atomically,
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.bin").write_bytes(b"weights" * 1000)
    (tmp_path / "sub" / "b.json").write_text("{}")
    return tmp_path


def test_a_manifest_lists_every_file_with_size_and_hash(directory: Path) -> None:
    entries = describe_files(directory)
    assert [(entry.path, entry.bytes) for entry in entries] == [("a.bin", 7000), ("sub/b.json", 2)]
    assert entries[1].sha256 == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert what_is_wrong(directory, entries) is None


def test_a_truncated_file_is_found(directory: Path) -> None:
    entries = describe_files(directory)
    with (directory / "a.bin").open("r+b") as file:
        file.truncate(6999)
    assert what_is_wrong(directory, entries) == "a.bin has 6999 bytes, 7000 were written"


def test_an_altered_file_of_the_same_size_is_found(directory: Path) -> None:
    entries = describe_files(directory)
    (directory / "sub" / "b.json").write_text("[]")
    assert what_is_wrong(directory, entries) == (
        "sub/b.json does not have the content that was written (SHA-256 differs)"
    )


def test_a_missing_file_is_found(directory: Path) -> None:
    entries = describe_files(directory)
    (directory / "a.bin").unlink()
    assert what_is_wrong(directory, entries) == "a.bin is missing"


def test_files_are_hashed_side_by_side_on_all_cores(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = describe_files(directory)
    monkeypatch.setattr(files, "usable_cpus", lambda: 2)
    together = threading.Barrier(2, timeout=30)
    hash_alone = files.hash_file

    def hash_beside_another(path: Path) -> tuple[int, str]:
        together.wait()  # breaks where the second file waits for the first
        return hash_alone(path)

    monkeypatch.setattr(files, "hash_file", hash_beside_another)
    assert what_is_wrong(directory, entries) is None
    assert describe_files(directory) == entries


def test_sizes_are_looked_at_before_anything_is_read(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = describe_files(directory)
    (directory / "sub" / "b.json").write_text("")
    monkeypatch.setattr(files, "hash_file", lambda path: pytest.fail(f"{path} was read"))
    assert what_is_wrong(directory, entries) == "sub/b.json has 0 bytes, 2 were written"


def test_replacing_a_file_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_atomically(path, "old")
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_tree_can_be_flushed_and_a_large_file_is_hashed_in_parts(directory: Path) -> None:
    large = directory / "large.bin"
    large.write_bytes(bytes(9 << 20))
    sync_tree(directory)
    assert hash_file(large)[0] == 9 << 20


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "none on this volume"])
def test_a_tree_under_another_name_outlives_the_first(
    directory: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.setattr("os.link", refuse)
    target = tmp_path_factory.mktemp("other") / "tree"
    target.mkdir()
    (target / "old").touch()
    link_tree(directory, target)
    assert (target / "a.bin").samefile(directory / "a.bin") is links
    before = describe_files(directory)
    (directory / "a.bin").unlink()
    assert describe_files(target) == before


def refuse(*_arguments: object, **_options: object) -> None:
    raise OSError("Operation not supported")


def test_a_directory_has_its_name_once_it_is_finished_and_not_at_all_after_an_error(tmp_path: Path) -> None:
    place = tmp_path / "place"

    def fail() -> None:
        with staged_as(place, alone=True) as staged:
            staged.mkdir()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []
    with staged_as(place, alone=True) as staged:
        staged.mkdir()
        assert not place.exists()
    assert list(tmp_path.iterdir()) == [place]


def test_of_two_that_write_the_same_directory_the_faster_wins(tmp_path: Path) -> None:
    place = tmp_path / "place"
    with staged_as(place, alone=False) as slower:
        slower.mkdir()
        with staged_as(place, alone=False) as faster:
            faster.mkdir()
            (faster / "mine").touch()
    assert list(tmp_path.iterdir()) == [place]
    assert (place / "mine").exists()


def test_only_who_is_alone_removes_what_others_have_left(tmp_path: Path) -> None:
    place, left = tmp_path / "place", tmp_path / ".place.dead.tmp"
    left.mkdir()
    for alone in (False, True):
        with staged_as(place, alone=alone) as staged:
            staged.mkdir()
        assert left.exists() is not alone
