"""text: plain files, each one document, or records (JSON, CSV, Parquet) with a `text`."""

from collections.abc import Iterator
from pathlib import Path

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.compression import suffix_of
from finetune_trainer.data.examples import BrokenRecord, Document, Record
from finetune_trainer.data.formats.base import Format, required_text
from finetune_trainer.data.reading import RECORD_SUFFIXES, read_plain_file, read_records

WHOLE_FILE = "\0file"
"""The key under which a plain file's content travels; no JSON key of a data set looks like it."""


def read(path: Path) -> Iterator[Record | BrokenRecord]:
    """The records of a file that holds records, or a plain file as one record."""
    return read_records(path) if suffix_of(path) in RECORD_SUFFIXES else read_plain_file(path, WHOLE_FILE)


def parse(record: Record, columns: ColumnsSpec) -> Document | None:
    """The record's text; None for an empty file. Raises `BrokenRecordError`."""
    if WHOLE_FILE in record.fields:
        content = str(record.fields[WHOLE_FILE])
        return Document(record.origin, content) if content.strip() else None
    return Document(record.origin, required_text(record, columns.text or "text"))


FORMAT = Format(
    name="text", read=read, parse=parse, suffixes=(*RECORD_SUFFIXES, ".txt", ".md", ".rst", ".py", ".text")
)
