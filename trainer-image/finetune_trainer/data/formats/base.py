"""What a format is made of, and how it takes a value out of a record."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.examples import BrokenRecord, BrokenRecordError, Example, Record
from finetune_trainer.data.json_text import JsonError, parse_json

Records = Iterator[Record | BrokenRecord]
Read = Callable[[Path], Records]
Parse = Callable[[Record, ColumnsSpec], Example | None]
Gather = Callable[[Records], Records]


def as_they_are(records: Records) -> Records:
    """Each record stands for itself."""
    return records


@dataclass(frozen=True)
class Format:
    """`read` yields the records of one file, `parse` makes an example of one.

    `parse` raises `BrokenRecordError` for a record that cannot be used, and returns None for one that holds
    nothing and was not meant to. `suffixes` are the files of a directory that belong to the format.
    `gather` joins records that only together make an example.
    """

    name: str
    read: Read
    parse: Parse
    suffixes: tuple[str, ...]
    gather: Gather = as_they_are


def required_text(record: Record, column: str) -> str:
    """The text in a column; raises `BrokenRecordError` when it is missing, no text, or empty."""
    value = optional_text(record, column)
    if value is None:
        raise missing(record, column)
    if not value.strip():
        raise BrokenRecordError(f"{column!r} is empty; it must hold text")
    return value


def optional_text(record: Record, column: str) -> str | None:
    """The text in a column, None when it is missing or null; raises `BrokenRecordError` when it is no
    text."""
    value = record.fields.get(column)
    if value is None or isinstance(value, str):
        return value
    raise BrokenRecordError(f"{column!r} must be text, not {json_type(value)}")


def optional_label(record: Record, columns: ColumnsSpec) -> bool | None:
    """Whether the record's answer is desired; None where it does not say. Raises `BrokenRecordError` when the
    column that is named holds something else."""
    value = record.fields.get(columns.label or "label")
    if isinstance(value, str):
        value = {"true": True, "false": False, "1": True, "0": False}.get(value.strip().lower(), value)
    if value in (True, False) and isinstance(value, bool | int):
        return bool(value)
    if columns.label is None:
        return None
    raise BrokenRecordError(f"{columns.label!r} must be true or false, not {json_type(value)}")


def structure(record: Record, column: str) -> object:
    """The value in a column, None when it is missing. Text that holds a JSON list or object, as the cells of
    a table do, is read; raises `BrokenRecordError` when it is not valid."""
    value = record.fields.get(column)
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        return parse_json(value)
    except JsonError as error:
        raise BrokenRecordError(f"{column!r} is text that {error}") from error


def missing(record: Record, column: str) -> BrokenRecordError:
    """The error for a column that the record does not have."""
    found = ", ".join(sorted(map(str, record.fields))) or "none"
    return BrokenRecordError(f"{column!r} is missing; the record has: {found}. See dataset.columns")


def json_type(value: object) -> str:
    """The name of a value's type as JSON calls it."""
    match value:
        case bool():
            return "a boolean"
        case int() | float():
            return f"a number ({value})"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return type(value).__name__
