"""Files into records, with the line of each, so that a broken one can be named."""

import csv
import glob
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from finetune_trainer.data.examples import BrokenRecord, Origin, Record
from finetune_trainer.errors import DataError

JSON_SUFFIXES = (".jsonl", ".json", ".ndjson")


def find_files(path: str, suffixes: tuple[str, ...]) -> list[Path]:
    """The files that a path stands for, sorted: a file, a directory (searched through), or a glob
    (`**/*.py`).

    Raises `DataError` when there are none.
    """
    place = Path(path)
    if place.is_file():
        return [place]
    if place.is_dir():
        found = [file for file in place.rglob("*") if file.suffix in suffixes and file.is_file()]
        wanted = f"a file that ends in {', '.join(suffixes)}"
    else:
        found = [Path(name) for name in glob.glob(path, recursive=True) if Path(name).is_file()]  # noqa: PTH207
        wanted = "a file"
    if not found:
        raise DataError(f"dataset: {path}: there is no such file, nor does it stand for {wanted}")
    return sorted(found)


def read_json_records(path: Path) -> Iterator[Record | BrokenRecord]:
    """Objects of a JSON-lines file, or of one JSON list; blank lines are skipped."""
    if path.suffix == ".json" and _starts_with_list(path):
        yield from _read_json_list(path)
        return
    for number, line in _lines(path):
        if not isinstance(line, str):
            yield line
        elif line.strip():
            yield _json_record(line.rstrip("\r\n"), Origin(path.name, number))


def read_csv_records(path: Path) -> Iterator[Record | BrokenRecord]:
    """Rows of a CSV file (tab-separated for .tsv) under the names of its header line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
            yield from _rows(path, reader)
    except UnicodeDecodeError as error:
        yield BrokenRecord(Origin(path.name, 0), f"is not UTF-8 (byte {error.start})")


def read_plain_file(path: Path, key: str) -> Iterator[Record | BrokenRecord]:
    """A whole file as one record, under the given key."""
    origin = Origin(str(path), 0)
    try:
        yield Record(origin, {key: path.read_text(encoding="utf-8")})
    except UnicodeDecodeError as error:
        yield BrokenRecord(origin, f"is not UTF-8 (byte {error.start})")


def _rows(path: Path, reader: "csv.DictReader[str]") -> Iterator[Record | BrokenRecord]:
    columns = len(reader.fieldnames or ())
    while True:
        start = reader.line_num + 1
        try:
            row: dict[str | None, object] | None = next(reader, None)
        except csv.Error as error:
            yield BrokenRecord(Origin(path.name, start), f"is not valid CSV: {error}")
            return
        if row is None:
            return
        origin = Origin(path.name, start)
        if None in row:
            yield BrokenRecord(
                origin, f"has more fields than the header ({columns}); quote fields that hold a comma"
            )
        elif any(value is None for value in row.values()):
            yield BrokenRecord(origin, f"has fewer fields than the header ({columns})")
        else:
            yield Record(origin, {str(name): value for name, value in row.items()})


def _lines(path: Path) -> Iterable[tuple[int, str | BrokenRecord]]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                yield (
                    number,
                    BrokenRecord(Origin(path.name, number), f"is not UTF-8 (byte {error.start} of the line)"),
                )


def _json_record(text: str, origin: Origin) -> Record | BrokenRecord:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        return BrokenRecord(origin, f"is not valid JSON: {error.msg} at column {error.colno}")
    except RecursionError:
        return BrokenRecord(origin, "is not usable JSON: it is nested too deeply")
    if not isinstance(value, dict):
        return BrokenRecord(origin, f"must be a JSON object, not {type(value).__name__}")
    return Record(origin, value)


def _starts_with_list(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")


def _read_json_list(path: Path) -> Iterator[Record | BrokenRecord]:
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        yield BrokenRecord(
            Origin(path.name, error.lineno), f"is not valid JSON: {error.msg} at column {error.colno}"
        )
        return
    except UnicodeDecodeError as error:
        yield BrokenRecord(Origin(path.name, 0), f"is not UTF-8 (byte {error.start})")
        return
    for position, value in enumerate(values, start=1):
        origin = Origin(f"{path.name}[{position - 1}]", 0)
        if isinstance(value, dict):
            yield Record(origin, value)
        else:
            yield BrokenRecord(origin, f"must be a JSON object, not {type(value).__name__}")
