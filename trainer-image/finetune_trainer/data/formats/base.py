"""What a format is made of, and how it takes a value out of a record."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.examples import BrokenRecord, BrokenRecordError, Example, Record

Read = Callable[[Path], Iterator[Record | BrokenRecord]]
Parse = Callable[[Record, ColumnsSpec], Example | None]


@dataclass(frozen=True)
class Format:
    """`read` yields the records of one file, `parse` makes an example of one.

    `parse` raises `BrokenRecordError` for a record that cannot be used, and returns None for one that holds
    nothing and was not meant to. `suffixes` are the files of a directory that belong to the format.
    """

    name: str
    read: Read
    parse: Parse
    suffixes: tuple[str, ...]


def required_text(record: Record, column: str) -> str:
    """The text in a column; raises `BrokenRecordError` when it is missing, no text, or empty."""
    value = optional_text(record, column)
    if value is None:
        found = ", ".join(sorted(record.fields)) or "none"
        raise BrokenRecordError(f"{column!r} is missing; the record has: {found}. See dataset.columns")
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
