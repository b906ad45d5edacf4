"""Tokenised sequences in files: written one after the other, and read where they are looked at, so that a set
may be larger than memory."""

import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from finetune_trainer.data.examples import Origin
from finetune_trainer.data.rendering import Ids, Tokens
from finetune_trainer.data.sequences import Sequences

LAYOUT = 7
"""Raise it when the same data and settings come to mean other tokens, or are stored otherwise."""

TYPES: dict[str, npt.DTypeLike] = {
    "ids": np.int32,
    "labels": np.int32,
    "ends": np.int64,
    "cuts": np.int64,
    "files": np.int64,
    "lines": np.int64,
    "notes": np.uint8,
    "note_ends": np.int64,
}
"""A file of plain numbers each."""

NAMES = "names.json"


@dataclass(frozen=True)
class StoredSequences(Sequences):
    """Sequences in files, of which only what is looked at is in memory."""

    ids: Ids
    labels: Ids
    ends: npt.NDArray[np.int64]
    """Where each sequence ends in `ids` and `labels`."""
    cuts: npt.NDArray[np.int64]
    """Tokens, and supervised tokens, that the limit cut off each sequence, one after the other."""
    files: npt.NDArray[np.int64]
    lines: npt.NDArray[np.int64]
    notes: npt.NDArray[np.uint8]
    """The text of all notes, in UTF-8."""
    note_ends: npt.NDArray[np.int64]
    """Where each sequence's note ends in `notes`."""
    names: Sequence[Origin]
    """The files that `files` counts, each as a whole."""

    def __len__(self) -> int:
        return len(self.ends)

    def at(self, index: int) -> Tokens:
        """The sequence of a number, from 0."""
        start, end = _bounds(self.ends, index)
        origin = self.names[int(self.files[index])]._replace(line=int(self.lines[index]))
        cut, cut_supervised = self.cuts[2 * index : 2 * index + 2].tolist()
        # copies: PyTorch wants memory that it could write to
        ids, labels = self.ids[start:end].copy(), self.labels[start:end].copy()
        return Tokens(ids, labels, origin, cut, cut_supervised, self.note(index))

    def note(self, index: int) -> str:
        """What was noted of one sequence."""
        start, end = _bounds(self.note_ends, index)
        return self.notes[start:end].tobytes().decode("utf-8")

    def lengths(self) -> list[int]:
        """Tokens of each sequence."""
        lengths: list[int] = np.diff(self.ends, prepend=0).tolist()
        return lengths


def write(directory: Path, sequences: Iterable[Tokens]) -> None:
    """Writes sequences as they come, none of which is held on to. Raises `OSError`."""
    names: dict[Origin, int] = {}
    end = note_end = 0
    with ExitStack() as stack:
        files = {name: stack.enter_context((directory / name).open("wb")) for name in TYPES}

        def put(name: str, *numbers: int) -> None:
            files[name].write(np.array(numbers, dtype=TYPES[name]).tobytes())

        for tokens in sequences:
            end += len(tokens.ids)
            files["ids"].write(np.asarray(tokens.ids, dtype=np.int32).tobytes())
            files["labels"].write(np.asarray(tokens.labels, dtype=np.int32).tobytes())
            put("ends", end)
            put("cuts", tokens.cut, tokens.cut_supervised)
            put("files", names.setdefault(tokens.origin._replace(line=0), len(names)))
            put("lines", tokens.origin.line)
            note = tokens.note.encode("utf-8")
            note_end += len(note)
            files["notes"].write(note)
            put("note_ends", note_end)
    (directory / NAMES).write_text(json.dumps(list(names)), encoding="utf-8")


def read(directory: Path) -> StoredSequences:
    """What `write` has written. Raises `OSError` or `ValueError` when it is not there or not whole."""
    arrays: dict[str, Any] = {name: _mapped(directory / name, kind) for name, kind in TYPES.items()}
    names = json.loads((directory / NAMES).read_text(encoding="utf-8"))
    if not isinstance(names, list):
        raise ValueError("its names are no list")
    stored = StoredSequences(**arrays, names=[Origin(*name) for name in names])
    count = len(stored)
    if not count:
        raise ValueError("there are no sequences")
    tokens = int(stored.ends[-1])
    if not (
        len(stored.ids) == len(stored.labels) == tokens
        and len(stored.cuts) == 2 * count
        and len(stored.files) == len(stored.lines) == len(stored.note_ends) == count
        and len(stored.notes) == int(stored.note_ends[-1])
    ):
        raise ValueError("its files do not belong together")
    return stored


def _mapped(file: Path, kind: npt.DTypeLike) -> npt.NDArray[Any]:
    """The numbers of a file where they lie; a file without any cannot be mapped."""
    if file.stat().st_size == 0:
        return np.zeros(0, dtype=kind)
    return np.memmap(file, dtype=kind, mode="r")


def _bounds(ends: npt.NDArray[np.int64], index: int) -> tuple[int, int]:
    return int(ends[index - 1]) if index else 0, int(ends[index])
