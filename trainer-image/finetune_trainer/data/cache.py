"""Tokenised data on disk, found again by its content: shared by the ranks of a job and by its attempts.

One process tokenises, the others wait for its file lock. The system gives the lock up when its holder ends,
however it ends; and waiting for a file is no collective, so that no timeout of the process group runs. Where
the file system knows no locks, each process tokenises for itself, under a temporary name of its own.

Who reads tokens holds a lock on them as long as it does. What nobody reads any more can go.
"""

import fcntl
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary, finalize

from finetune_trainer.data import stored
from finetune_trainer.data.dataset import DataFacts, TokenizedDataset
from finetune_trainer.data.making import Making
from finetune_trainer.data.rendering import Tokens
from finetune_trainer.data.stored import StoredSequences
from finetune_trainer.errors import StorageError
from finetune_trainer.files import staged_as, sync_tree

log = logging.getLogger(__name__)

META = "meta.json"

NAME: Final = re.compile(r"[0-9a-f]{64}|\.[0-9a-f]{64}\.[0-9a-f]{32}\.tmp")
"""Of tokens, and of tokens that somebody is, or was, writing."""

_read_here: "WeakValueDictionary[Path, StoredSequences]" = WeakValueDictionary()
"""What this process reads. Not every file system lets locks of one process exclude each other."""


def cached(directory: Path, key: str | None, make: Callable[[], TokenizedDataset]) -> TokenizedDataset:
    """The data under a key, made when it is not there. Without a key it is made and not kept.

    Raises what `make` raises. A disk that takes no data costs a warning, and another tokenising.
    """
    if key is None:
        return make()
    place = directory / key
    with exclusive(directory / "lock") as alone:
        found = _load(place)
        if found is not None:
            log.info("tokens of an earlier rank or attempt are used")
            return found
        made = make()
        try:
            _keep(place, made.sequences, lambda: made.facts, alone=alone)
        except OSError as error:
            log.warning("the tokenised data cannot be kept in %s: %s", directory, error)
            return made
        # what is on disk need not be in memory, too
        return _load(place) or made


def cached_stream(directory: Path, key: str, make: Callable[[], Making]) -> TokenizedDataset:
    """The data under a key, written to disk as it is made, and never all of it in memory.

    Raises what making raises, and `StorageError` when the disk takes no more.
    """
    place = directory / key
    with exclusive(directory / "lock") as alone:
        found = _load(place)
        if found is None:
            try:
                _keep(place, *make(), alone=alone)
            except OSError as error:
                raise StorageError(f"dataset.streaming: {directory} takes no more data: {error}") from error
            found = _load(place)
    if found is None:
        raise StorageError(f"dataset.streaming: what was written to {place} cannot be read")
    return found


def remove_unused(directory: Path) -> None:
    """Removes tokens that no process reads: of an earlier commit of a data set on the hub, of a file that has
    changed, or half-written. It says what it has removed.

    Where another process is at work, or the file system knows no locks, all is left as it is.
    """
    with exclusive(directory / "lock", wait=False) as alone:
        if not alone:
            return
        try:
            places = [place for place in directory.iterdir() if NAME.fullmatch(place.name)]
            for place in sorted(places):
                if place in _read_here or _is_read(place):
                    continue
                size = sum(file.stat().st_size for file in place.iterdir())
                shutil.rmtree(place)
                log.info("tokens that nothing reads any more are removed: %s (%d bytes)", place.name, size)
        except OSError as error:
            log.warning("tokens that nothing reads any more cannot be removed: %s", error)


@contextmanager
def exclusive(file: Path, *, wait: bool = True) -> Iterator[bool]:
    """Only one process at a time is inside, wherever the file system can tell; whether it could. Who does not
    wait comes in beside another one, and is told so."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(file, os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        log.warning("%s cannot be locked: %s", file, error)
        yield False
        return
    alone = True
    try:
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if wait:
                    log.info("waiting for another process: %s", file.name)
                    fcntl.flock(handle, fcntl.LOCK_EX)
                alone = wait
        except OSError as error:
            log.warning("%s cannot be locked: %s", file, error)
            alone = False
        yield alone
    finally:
        os.close(handle)


def _keep(place: Path, sequences: Iterable[Tokens], facts: Callable[[], DataFacts], *, alone: bool) -> None:
    with staged_as(place, alone=alone) as staged:
        staged.mkdir(parents=True)
        stored.write(staged, sequences)
        (staged / META).write_text(json.dumps({"facts": asdict(facts())}), encoding="utf-8")
        sync_tree(staged)
        if _load(place) is None:
            # there is nothing, or it is not whole
            shutil.rmtree(place, ignore_errors=True)


def _load(place: Path) -> TokenizedDataset | None:
    """None when nothing is there, or what is there is not whole."""
    if not place.is_dir():
        return None
    try:
        facts = DataFacts(**json.loads((place / META).read_text(encoding="utf-8"))["facts"])
        sequences = stored.read(place)
        whole = len(sequences) == facts.sequences and len(sequences.ids) == facts.tokens
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("the tokenised data in %s is not whole and is made again: %s", place, error)
        return None
    if not whole:
        log.warning("the tokenised data in %s is not whole and is made again", place)
        return None
    _hold(place, sequences)
    return TokenizedDataset(sequences, facts)


def _hold(place: Path, sequences: StoredSequences) -> None:
    """Lets other processes know that these are read, until they are given up."""
    handle = os.open(place / META, os.O_RDONLY)
    finalize(sequences, os.close, handle).atexit = False
    _read_here[place] = sequences
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        log.warning("%s cannot be locked: %s", place, error)


def _is_read(place: Path) -> bool:
    """Whether another process reads these; True where that cannot be told. Half-written ones are read by
    nobody."""
    if place.name.startswith("."):
        return False
    try:
        with (place / META).open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
