"""Tokenised data on disk, found again by its content: shared by the ranks of a job and by its attempts.

One process tokenises, the others wait for its file lock. The system gives the lock up when its holder ends,
however it ends; and waiting for a file is no collective, so that no timeout of the process group runs. Where
the file system knows no locks, each process tokenises for itself.
"""

import fcntl
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, overload
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from finetune_api.dataset import DatasetSpec
from finetune_trainer.data.dataset import DataFacts, TokenizedDataset
from finetune_trainer.data.examples import Origin
from finetune_trainer.data.formats import FORMATS
from finetune_trainer.data.reading import find_files
from finetune_trainer.data.rendering import Ids, Renderer, Tokens
from finetune_trainer.files import hash_file, sync_tree

log = logging.getLogger(__name__)

LAYOUT = 1
"""Raise it when the same data and settings come to mean other tokens, or are stored otherwise."""

ARRAYS = ("ids", "labels", "ends", "cuts", "files", "lines")
META = "meta.json"


@dataclass(frozen=True)
class StoredSequences(Sequence[Tokens]):
    """Sequences in files, of which only what is looked at is in memory."""

    ids: Ids
    labels: Ids
    ends: npt.NDArray[np.int64]
    """Where each sequence ends in `ids` and `labels`."""
    cuts: npt.NDArray[np.int64]
    """Tokens, and supervised tokens, that the limit cut off each sequence."""
    files: npt.NDArray[np.int64]
    lines: npt.NDArray[np.int64]
    names: Sequence[str]
    """Names of the files that `files` counts."""

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> Tokens: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Tokens]: ...
    def __getitem__(self, index: int | slice) -> Tokens | Sequence[Tokens]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        start, end = int(self.ends[index - 1]) if index else 0, int(self.ends[index])
        origin = Origin(self.names[int(self.files[index])], int(self.lines[index]))
        cut, cut_supervised = self.cuts[index].tolist()
        return Tokens(self.ids[start:end], self.labels[start:end], origin, cut, cut_supervised)


def cached(directory: Path, key: str | None, make: Callable[[], TokenizedDataset]) -> TokenizedDataset:
    """The data under a key, made when it is not there. Without a key it is made and not kept.

    Raises what `make` raises. A disk that takes no data costs a warning, and another tokenising.
    """
    if key is None:
        return make()
    place = directory / key
    with exclusive(directory / "lock"):
        found = _load(place)
        if found is not None:
            log.info("tokens of an earlier rank or attempt are used")
            return found
        made = make()
        try:
            _store(place, made)
        except OSError as error:
            log.warning("the tokenised data cannot be kept in %s: %s", directory, error)
    return made


def cache_key(dataset: DatasetSpec, path: str | None, renderer: Renderer, *, stream: bool) -> str | None:
    """SHA-256, in hexadecimal, of all that decides what the tokens are: files, tokenizer, template, settings.

    None for data that does not lie in files here. Raises `DataError` when there are no files.
    """
    format_ = FORMATS.get(dataset.format)
    if path is None or format_ is None:
        return None
    tokenizer = renderer.tokenizer
    identity: dict[str, Any] = {
        "layout": LAYOUT,
        "libraries": {name: version(name) for name in ("tokenizers", "transformers")},
        "files": [(file.name, *hash_file(file)) for file in find_files(path, format_.suffixes)],
        "tokenizer": hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode("utf-8")).hexdigest(),
        "special": [tokenizer.bos_token_id, tokenizer.eos_token_id, sorted(tokenizer.all_special_ids)],
        "template": str(tokenizer.chat_template),
        "format": dataset.format,
        "columns": dataset.columns.to_json_object(),
        "preprocessing": dataset.preprocessing.model_copy(update={"workers": None}).to_json_object(),
        "maxSamples": dataset.max_samples,
        "maxLength": renderer.max_length,
        "supervise": renderer.supervise,
        "stream": stream,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode("utf-8")).hexdigest()


@contextmanager
def exclusive(file: Path) -> Iterator[None]:
    """Only one process at a time is inside, wherever the file system can tell."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(file, os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        log.warning("%s cannot be locked: %s", file, error)
        yield
        return
    try:
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.info("waiting for another process: %s", file.name)
                fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            log.warning("%s cannot be locked: %s", file, error)
        yield
    finally:
        os.close(handle)


def _store(place: Path, data: TokenizedDataset) -> None:
    for left_over in place.parent.glob(f".{place.name}.*.tmp"):
        shutil.rmtree(left_over, ignore_errors=True)
    staged = place.with_name(f".{place.name}.{uuid4().hex}.tmp")
    staged.mkdir(parents=True)
    try:
        files = dict.fromkeys(tokens.origin.file for tokens in data.sequences)
        names = {name: number for number, name in enumerate(files)}
        arrays = {
            "ids": np.concatenate([tokens.ids for tokens in data.sequences]),
            "labels": np.concatenate([tokens.labels for tokens in data.sequences]),
            "ends": np.cumsum([len(tokens.ids) for tokens in data.sequences], dtype=np.int64),
            "cuts": np.array([(item.cut, item.cut_supervised) for item in data.sequences], dtype=np.int64),
            "files": np.array([names[tokens.origin.file] for tokens in data.sequences], dtype=np.int64),
            "lines": np.array([tokens.origin.line for tokens in data.sequences], dtype=np.int64),
        }
        for name in ARRAYS:
            np.save(staged / f"{name}.npy", arrays[name])
        meta = {"facts": asdict(data.facts), "names": list(names)}
        (staged / META).write_text(json.dumps(meta), encoding="utf-8")
        sync_tree(staged)
        shutil.rmtree(place, ignore_errors=True)
        staged.rename(place)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _load(place: Path) -> TokenizedDataset | None:
    """None when nothing is there, or what is there is not whole."""
    if not place.is_dir():
        return None
    try:
        meta = json.loads((place / META).read_text(encoding="utf-8"))
        facts = DataFacts(**meta["facts"])
        # copy-on-write: PyTorch wants memory that it could write to
        arrays = {name: np.load(place / f"{name}.npy", mmap_mode="c") for name in ARRAYS}
        stored = StoredSequences(**arrays, names=meta["names"])
        whole = len(stored) == facts.sequences and len(stored.ids) == len(stored.labels) == facts.tokens
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("the tokenised data in %s is not whole and is made again: %s", place, error)
        return None
    if not whole:
        log.warning("the tokenised data in %s is not whole and is made again", place)
        return None
    return TokenizedDataset(stored, facts)
