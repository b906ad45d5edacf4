"""Files into records, with the line of each, so that a broken one can be named."""

import csv
import glob
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from finetune_trainer.data.compression import COMPRESSIONS, DAMAGED, open_bytes, suffix_of
from finetune_trainer.data.examples import BrokenRecord, Origin, Record
from finetune_trainer.data.json_text import JsonError, check_characters, may_hold_half_pairs, parse_json
from finetune_trainer.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

JSON_SUFFIXES = (".jsonl", ".json", ".ndjson")
CSV_SUFFIXES = (".csv", ".tsv")
PARQUET_SUFFIXES = (".parquet",)
RECORD_SUFFIXES = (*JSON_SUFFIXES, *CSV_SUFFIXES, *PARQUET_SUFFIXES)
"""Files that hold records, whatever the format of these."""

LONGEST_CELL = 1 << 27
"""Characters in one CSV field; Python's own limit of 131,072 is too small for documents."""

LONGEST_LINE = 1 << 27
"""Bytes; a few kilobytes of gzip can hold lines of any length."""

LARGEST_WHOLE = 1 << 32
"""Bytes of a JSON list, or of a text file, which are read whole."""

ROWS_AT_ONCE = 64
"""Of a Parquet file; they may be long documents."""

PARQUET_BUFFER = 1 << 20
"""Bytes read at once of each column: without it Arrow reads a row group, which may be the file, whole."""


def find_files(path: str, suffixes: tuple[str, ...]) -> list[Path]:
    """The files that a path stands for, sorted: a file, a directory (searched through), or a glob
    (`**/*.py`). A compressed file (`train.jsonl.gz`) counts as what it holds. Hidden files and directories
    below a directory do not count: programs keep copies there (`.ipynb_checkpoints`, `..data` of ConfigMaps).

    Raises `DataError` when there are none.
    """
    place = Path(path)
    if place.is_file():
        return [place]
    if place.is_dir():
        found = [
            file
            for file in place.rglob("*")
            if suffix_of(file) in suffixes and not _is_hidden(file.relative_to(place)) and file.is_file()
        ]
        wanted = f"a file that ends in {', '.join(suffixes)} (or that and {', '.join(COMPRESSIONS)})"
    else:
        found = [Path(name) for name in glob.glob(path, recursive=True) if Path(name).is_file()]  # noqa: PTH207
        wanted = "a file"
    if not found:
        raise DataError(f"dataset: {path}: there is no such file, nor does it stand for {wanted}")
    return sorted(found)


def _is_hidden(file: Path) -> bool:
    return any(part.startswith(".") for part in file.parts)


def read_records(path: Path) -> Iterator[Record | BrokenRecord]:
    """Records of a JSON, JSON-lines, CSV or Parquet file, compressed or not; by the file's suffix.

    A file with another suffix is taken for JSON lines.
    """
    suffix = suffix_of(path)
    if suffix in CSV_SUFFIXES:
        yield from read_csv_records(path)
    elif suffix in PARQUET_SUFFIXES:
        yield from read_parquet_records(path)
    else:
        yield from read_json_records(path)


def read_json_records(path: Path) -> Iterator[Record | BrokenRecord]:
    """Objects of a JSON-lines file, or of one JSON list; blank lines are skipped."""
    try:
        if suffix_of(path) == ".json" and _starts_with_list(path):
            yield from _read_json_list(path)
            return
    except DAMAGED as error:
        yield _unreadable(path, 0, error)
        return
    for number, line in _lines(path):
        if not isinstance(line, str):
            yield line
        elif line.strip():
            yield _json_record(line.rstrip("\r\n"), Origin(path.name, number))


def read_csv_records(path: Path) -> Iterator[Record | BrokenRecord]:
    """Rows of a CSV file (tab-separated for .tsv) under the names of its header line."""
    csv.field_size_limit(LONGEST_CELL)
    try:
        with (
            open_bytes(path) as raw,
            io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file,
        ):
            lines = _csv_lines(file)
            reader = csv.DictReader(lines, delimiter="\t" if suffix_of(path) == ".tsv" else ",", strict=True)
            yield from _rows(path, reader)
    except UnicodeDecodeError as error:
        yield BrokenRecord(Origin(path.name, 0), f"is not UTF-8 (byte {error.start})")
    except DAMAGED as error:
        yield _unreadable(path, 0, error)


def read_parquet_records(path: Path) -> Iterator[Record | BrokenRecord]:
    """Rows of a Parquet file, numbered from 1."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix.lower() in COMPRESSIONS:
        yield BrokenRecord(Origin(path.name, 0), "is Parquet, which compresses itself: unpack the file")
        return
    number = 0
    try:
        with pq.ParquetFile(path, buffer_size=PARQUET_BUFFER, pre_buffer=False) as file:
            if twice := _twice(file.schema_arrow.names):
                yield BrokenRecord(Origin(path.name, 0), f"has two columns of the name {twice!r}")
                return
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
                for row in _values(batch):
                    number += 1
                    origin = Origin(path.name, number, "row")
                    yield BrokenRecord(origin, row) if isinstance(row, str) else Record(origin, row)
    except (pa.ArrowException, OSError) as error:
        origin = Origin(f"{path.name}, after row {number}", 0)
        yield BrokenRecord(origin, f"cannot be read as Parquet: {_first_line(error)}")


def _values(batch: "pa.RecordBatch") -> list[dict[str, object] | str]:
    """The rows; in place of one that Python has no values for (text that is not UTF-8, days beyond the
    calendar) what is wrong."""
    try:
        return [without_null_keys(row) for row in batch.to_pylist()]
    except (ValueError, OverflowError) as error:
        if batch.num_rows == 1:
            return [f"holds a value that cannot be read: {_first_line(error)}"]
        rows = range(batch.num_rows)
        return [value for row in rows for value in _values(batch.slice(row, 1))]


def without_null_keys(row: dict[str, object]) -> dict[str, object]:
    """A row of a table, whose nested objects lose the keys that hold nothing.

    A table gives all objects of a column the same keys: where one tool has a parameter `city` and another one
    `date`, both come back with both, one of them null, and a model would learn so.
    """
    return {name: _without_nulls(value) for name, value in row.items()}


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nulls(child) for key, child in value.items() if child is not None}
    if isinstance(value, list):
        return [_without_nulls(child) for child in value]
    return value


def read_plain_file(path: Path, key: str) -> Iterator[Record | BrokenRecord]:
    """A whole file as one record, under the given key."""
    origin = Origin(str(path), 0)
    try:
        with open_bytes(path) as file:
            yield Record(origin, {key: _whole(file).decode("utf-8-sig")})
    except UnicodeDecodeError as error:
        yield BrokenRecord(origin, f"is not UTF-8 (byte {error.start})")
    except DAMAGED as error:
        yield _unreadable(path, 0, error)


def _rows(path: Path, reader: "csv.DictReader[str]") -> Iterator[Record | BrokenRecord]:
    try:
        names = reader.fieldnames or ()
    except csv.Error as error:
        yield BrokenRecord(Origin(path.name, 1), f"is not valid CSV: {error}")
        return
    columns = len(names)
    if twice := _twice(names):
        yield BrokenRecord(Origin(path.name, 1), f"has two columns of the name {twice!r}")
        return
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


def _lines(path: Path) -> Iterator[tuple[int, str | BrokenRecord]]:
    number = 0
    try:
        with open_bytes(path) as file:
            while raw := file.readline(LONGEST_LINE):
                number += 1
                if len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):
                    problem = f"is longer than {LONGEST_LINE} bytes"
                    yield number, BrokenRecord(Origin(path.name, number), problem)
                    while raw and not raw.endswith(b"\n"):
                        raw = file.readline(LONGEST_LINE)
                    continue
                try:
                    yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    problem = f"is not UTF-8 (byte {error.start} of the line)"
                    yield number, BrokenRecord(Origin(path.name, number), problem)
    except DAMAGED as error:
        yield number, _unreadable(path, number, error)


def _json_record(text: str, origin: Origin) -> Record | BrokenRecord:
    try:
        return _record(parse_json(text), origin, may_hold_half_pairs(text))
    except JsonError as error:
        return BrokenRecord(origin, str(error))


def _record(value: object, origin: Origin, check: bool) -> Record | BrokenRecord:
    if not isinstance(value, dict):
        return BrokenRecord(origin, f"must be a JSON object, not {type(value).__name__}")
    try:
        if check:
            check_characters(value)
    except JsonError as error:
        return BrokenRecord(origin, str(error))
    return Record(origin, value)


def _starts_with_list(path: Path) -> bool:
    with open_bytes(path) as file:
        return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")


def _read_json_list(path: Path) -> Iterator[Record | BrokenRecord]:
    try:
        with open_bytes(path) as file:
            text = _whole(file).decode("utf-8-sig")
        values = cast("list[object]", parse_json(text))
    except JsonError as error:
        yield BrokenRecord(Origin(path.name, error.line), str(error))
        return
    except UnicodeDecodeError as error:
        yield BrokenRecord(Origin(path.name, 0), f"is not UTF-8 (byte {error.start})")
        return
    check = may_hold_half_pairs(text)
    for position, value in enumerate(values, start=1):
        yield _record(value, Origin(path.name, position, "element"), check)


def _csv_lines(file: io.TextIOBase) -> Iterator[str]:
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise csv.Error(f"a line is longer than {LONGEST_LINE} characters")
        yield line


def _twice(names: Sequence[str]) -> str | None:
    """A name that two columns have; spreadsheets leave several without one."""
    return next((name for place, name in enumerate(names) if name and name in names[:place]), None)


def _whole(file: IO[bytes]) -> bytearray:
    data = bytearray()
    while chunk := file.read(1 << 20):
        data += chunk
        if len(data) > LARGEST_WHOLE:
            raise OSError(f"it holds more than {LARGEST_WHOLE} bytes, all read at once: write JSON lines")
    return data


def _unreadable(path: Path, line: int, error: Exception) -> BrokenRecord:
    where = f"{path.name}, after line {line}" if line else path.name
    return BrokenRecord(Origin(where, 0), f"is damaged or cannot be read: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
