"""From the spec's data source to examples; a broken record ends the run with its file and line."""

import logging
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from finetune_api.dataset import ColumnsSpec, DatasetSpec, DataSource, HubSource
from finetune_trainer.data.examples import (
    BrokenRecord,
    BrokenRecordError,
    Conversation,
    Example,
    Origin,
    Record,
    texts,
)
from finetune_trainer.data.formats import FORMATS, Format
from finetune_trainer.data.formats.base import Records, optional_label
from finetune_trainer.data.reading import find_files, without_null_keys
from finetune_trainer.errors import DataError, InvalidConfigError

if TYPE_CHECKING:
    from datasets import Dataset

T = TypeVar("T", bound=Example | BrokenRecord)

log = logging.getLogger(__name__)

STREAM_SAMPLE = 50_000
STREAM_SAMPLE_CHARACTERS = 1 << 26
"""Records, and characters, of which one or the other ends what of a stream is in memory together."""

OPTIONAL: Final = ("input", "system", "history", "tools")
"""Fields of `dataset.columns` that a record may lack."""

SHOWN = 5
"""Broken records that a message names; the rest are counted."""


def load_examples(dataset: DatasetSpec, source: DataSource, path: str | None) -> list[Example]:
    """All examples of a source, in the order of its files and lines; with `dataset.streaming` the first ones
    only (`sample`), which are enough to train a tokenizer on.

    `path` is where the source is on this machine (None for the hub). Raises `DataError` naming the first
    broken records, and what `read_examples` raises.
    """
    found = stream_examples(dataset, source, path)
    examples = list(sample(found) if dataset.streaming else found)
    if not examples:
        raise DataError(f"dataset: {path or source} holds no records")
    log.info("read %d records (%s) from %s", len(examples), dataset.format, path or "the hub")
    return examples


def sample(found: Iterable[T]) -> Iterator[T]:
    """The first of a stream's examples or broken records: so many as memory holds with ease."""
    characters = 0
    for number, item in enumerate(found, start=1):
        yield item
        if not isinstance(item, BrokenRecord):
            characters += sum(map(len, texts([item])))
        if number >= STREAM_SAMPLE or characters >= STREAM_SAMPLE_CHARACTERS:
            return


def stream_examples(dataset: DatasetSpec, source: DataSource, path: str | None) -> Iterator[Example]:
    """The same, one after the other; broken records are told at the end. Raises what `load_examples`
    raises."""
    broken: list[BrokenRecord] = []
    columns: set[str] = set()
    count = more = 0
    for item in read_examples(dataset, source, path, lambda record: columns.update(record.fields)):
        if not isinstance(item, BrokenRecord):
            count += 1
            yield item
        elif len(broken) < SHOWN:
            broken.append(item)
        else:
            more += 1
    if broken:
        raise DataError(_describe(broken, more, total=count + len(broken) + more))
    if count and source == dataset.train:
        for field, column in lost_columns(dataset, columns):
            raise DataError(f"{field}: no record has {column!r}. Correct the name, or leave it out")


def lost_columns(dataset: DatasetSpec, found: Container[str]) -> list[tuple[str, str]]:
    """Fields of `dataset.columns`, and the column that each names, of which no record of the training data
    has any: of those that a record need not have, whose misspelt name would be passed over in all of them.
    The first records of many (`dataset.maxSamples`) may lack what others have."""
    named = {f"dataset.columns.{field}": getattr(dataset.columns, field) for field in OPTIONAL}
    lost = [(field, name) for field, name in named.items() if name is not None and name not in found]
    return lost if dataset.max_samples is None else []


def read_examples(
    dataset: DatasetSpec,
    source: DataSource,
    path: str | None,
    see: Callable[[Record], None] = lambda _record: None,
) -> Iterator[Example | BrokenRecord]:
    """Examples and broken records of a source, in the order of its files and lines.

    `see` gets each record as it was read. Raises `DataError` when there is no file, and `InvalidConfigError`
    for a format that the trainer does not know.
    """
    format_ = FORMATS.get(dataset.format)
    if format_ is None:
        raise InvalidConfigError(
            f"dataset.format: {dataset.format} is not known to this trainer. "
            f"Use one of {', '.join(sorted(FORMATS))}"
        )
    records = _seen(_records(format_, source, path), see)
    parsed = _parse(format_, format_.gather(records), dataset.columns)
    yield from parsed if dataset.max_samples is None else islice(parsed, dataset.max_samples)


def _records(format_: Format, source: DataSource, path: str | None) -> Iterator[Record | BrokenRecord]:
    if path is not None:
        for file in find_files(path, format_.suffixes):
            yield from format_.read(Path(file))
    elif (hub := source.hub) is not None:
        for number, row in enumerate(hub_rows(hub), start=1):
            yield Record(Origin(f"{hub.id} ({hub.split})", number, "row"), without_null_keys(dict(row)))
    else:
        raise InvalidConfigError(
            "dataset: the source has no path on this machine; use path, pvc, configMap, http or hub"
        )


def hub_rows(hub: HubSource) -> "Dataset":
    """The rows of a data set on the hub, which lie in files of the datasets library. Raises `DataError`, and
    `TrainerError` for a hub that does not answer."""
    from datasets import load_dataset

    from finetune_trainer.hub_trouble import hub_trouble

    try:
        return load_dataset(hub.id, hub.config, split=hub.split, revision=hub.revision)
    except Exception as error:
        what = f"dataset: hub.id {hub.id} ({hub.split})"
        if trouble := hub_trouble(error, what, DataError):
            raise trouble from error
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
            raise
        raise DataError(
            f"{what} cannot be read: {error}. Check the id, its config, split and revision"
        ) from error


def _seen(records: Records, see: Callable[[Record], None]) -> Records:
    for record in records:
        if isinstance(record, Record):
            see(record)
        yield record


def _parse(
    format_: Format, records: Iterator[Record | BrokenRecord], columns: ColumnsSpec
) -> Iterator[Example | BrokenRecord]:
    for record in records:
        if isinstance(record, BrokenRecord):
            yield record
            continue
        try:
            example = format_.parse(record, columns)
            if isinstance(example, Conversation):
                example = replace(example, desired=optional_label(record, columns))
        except BrokenRecordError as error:
            yield BrokenRecord(record.origin, str(error))
            continue
        if example is not None:
            yield example


def _describe(broken: list[BrokenRecord], more: int, *, total: int) -> str:
    shown = "; ".join(map(str, broken))
    rest = f"; and {more} more" if more else ""
    return f"{len(broken) + more} of {total} records cannot be used: {shown}{rest}"
