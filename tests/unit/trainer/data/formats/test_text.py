"""The text format: files as documents, or JSON lines."""

from pathlib import Path

import pytest

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.examples import BrokenRecord, BrokenRecordError, Document, Origin, Record
from finetune_trainer.data.formats.text import parse, read


def documents(path: Path, columns: ColumnsSpec | None = None) -> list[str | None]:
    found = []
    for record in read(path):
        assert isinstance(record, Record)
        document = parse(record, columns or ColumnsSpec())
        found.append(document.text if document else None)
    return found


def test_a_plain_file_is_one_document(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("x = 1\n\ny = 2\n")
    assert documents(path) == ["x = 1\n\ny = 2\n"]


def test_an_empty_file_is_no_document_and_no_error(tmp_path: Path) -> None:
    path = tmp_path / "__init__.py"
    path.write_text("\n")
    assert documents(path) == [None]


def test_json_lines_hold_a_document_each(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"body": "one"}\n{"body": "two"}\n')
    assert documents(path, ColumnsSpec(text="body")) == ["one", "two"]


def test_an_empty_text_in_json_is_broken() -> None:
    with pytest.raises(BrokenRecordError, match="'text' is empty"):
        parse(Record(Origin("a.jsonl", 3), {"text": ""}), ColumnsSpec())


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes("Grüße".encode("latin-1"))
    (record,) = read(path)
    assert record == BrokenRecord(Origin(str(path), 0), "is not UTF-8 (byte 2)")


def test_a_document_knows_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x")
    (record,) = read(path)
    assert isinstance(record, Record)
    document = parse(record, ColumnsSpec())
    assert isinstance(document, Document)
    assert str(document.origin) == str(path)
