"""Writing that survives a crash: flushed files, hashed manifests, and a rename as the only commit."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, ConfigDict

from finetune_trainer.cpus import usable_cpus

BESIDE_TRAINING = 4
"""Threads that hash what is written while the next steps are done: cores are left to these."""


class FileEntry(BaseModel):
    """One file of a manifest: its path relative to the manifest, and what it must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    bytes: int
    sha256: str


def sync_directory(path: Path) -> None:
    """Makes the entries of a directory durable. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, text: str) -> None:
    """Replaces a file such that a reader sees the old or the new content, never a part. Raises `OSError`."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def write_over(path: Path, text: str) -> None:
    """Writes a file durably in the room that it takes already: a reader may see a part. Raises `OSError`."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o666), "wb") as file:
        file.write(text.encode("utf-8"))
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def staged_as(place: Path, *, alone: bool) -> Iterator[Path]:
    """A directory to write in, under a name that no other process has; it becomes `place` once the block has
    ended without an error, unless another process was faster.

    Only who is `alone` (holds the lock) removes what processes that were killed have left. Raises `OSError`.
    """
    if alone:
        for left_over in place.parent.glob(f".{place.name}.*.tmp"):
            shutil.rmtree(left_over, ignore_errors=True)
    staged = place.with_name(f".{place.name}.{uuid4().hex}.tmp")
    try:
        yield staged
        try:
            staged.rename(place)
        except OSError:
            if not place.exists():
                raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def save_model(model: Any, directory: Path) -> None:
    """Writes a model of transformers on whatever rank this is: `save_pretrained` by itself writes on rank 0
    alone, but what all ranks read is made by whichever of them holds the lock."""
    model.should_save_on_this_rank = lambda is_main_process: is_main_process
    model.save_pretrained(directory)


def hash_file(path: Path) -> tuple[int, str]:
    """Size in bytes and SHA-256 of a file. Raises `OSError`."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return file.tell(), digest.hexdigest()


def describe_files(directory: Path) -> list[FileEntry]:
    """Every file under a directory, hashed by several threads, in the order of their paths. Raises
    `OSError`."""
    paths = list(_files(directory))
    with ThreadPoolExecutor(max_workers=min(BESIDE_TRAINING, usable_cpus())) as pool:
        hashed = list(pool.map(hash_file, paths))
    return [
        FileEntry(path=path.relative_to(directory).as_posix(), bytes=size, sha256=digest)
        for path, (size, digest) in zip(paths, hashed, strict=True)
    ]


def sync_tree(directory: Path) -> None:
    """Makes a directory with all that is in it durable, its files side by side. Raises `OSError`."""

    def sync(path: Path) -> None:
        with path.open("rb") as file:
            os.fsync(file.fileno())

    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(sync, _files(directory)))
    for folder in [directory, *(path for path in directory.rglob("*") if path.is_dir())]:
        sync_directory(folder)


def link_tree(source: Path, target: Path) -> None:
    """The same files under another name, which removing the source does not take away; copies where the
    volume has no hard links. What was at the target is gone. Raises `OSError`."""
    shutil.rmtree(target, ignore_errors=True)
    try:
        shutil.copytree(source, target, copy_function=os.link)
    except OSError:
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)


def what_is_wrong(directory: Path, files: list[FileEntry]) -> str | None:
    """The first difference between a directory and its manifest, in words; None when there is none.

    All sizes are looked at before anything is read. Files are then hashed side by side, on all cores that
    this process may use: training waits for it.
    """
    for entry in files:
        if (problem := _difference(directory, entry, content=False)) is not None:
            return problem
    with ThreadPoolExecutor(max_workers=usable_cpus()) as pool:
        problems = list(pool.map(lambda entry: _difference(directory, entry, content=True), files))
    return next((problem for problem in problems if problem is not None), None)


def _difference(directory: Path, entry: FileEntry, *, content: bool) -> str | None:
    path = directory / entry.path
    try:
        if (size := path.stat().st_size) != entry.bytes:
            return f"{entry.path} has {size} bytes, {entry.bytes} were written"
        if content and hash_file(path)[1] != entry.sha256:
            return f"{entry.path} does not have the content that was written (SHA-256 differs)"
    except FileNotFoundError:
        return f"{entry.path} is missing"
    except OSError as error:
        return f"{entry.path} cannot be read: {error.strerror}"
    return None


def _files(directory: Path) -> Iterator[Path]:
    return iter(sorted(path for path in directory.rglob("*") if path.is_file()))
