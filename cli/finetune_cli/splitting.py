"""Divide a file of records into one to train on and one to evaluate with.

Records are copied as they are written, byte for byte where the format allows; their order stays.
"""

import csv
import hashlib
import io
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_HASH_RANGE: Final = 2**64


class SplitError(ValueError):
    """The file cannot be divided as asked; the text says why."""


@dataclass(frozen=True)
class Splitting:
    """How records are chosen. The same file and settings give the same choice everywhere."""

    eval_share: float
    """Of the records, between 0 and 1."""
    seed: int = 42
    stratify_by: str | None = None
    """Column, of each of whose values the same share is held out."""
    hash_by: str | None = None
    """Column whose value decides alone, whatever else is in the file; empty for the whole record."""


@dataclass(frozen=True)
class _Row:
    text: str
    """As it is written to the file it goes to."""
    fields: dict[str, object]


@dataclass(frozen=True)
class _Table:
    """The records of a file, and what stands before, between and after them."""

    rows: list[_Row]
    head: str = ""
    between: str = ""
    tail: str = ""

    def written(self, rows: Sequence[_Row]) -> str:
        return self.head + self.between.join(row.text for row in rows) + self.tail


def split_file(data: Path, train: Path, evaluation: Path, splitting: Splitting) -> tuple[int, int]:
    """Writes both files; returns how many records each has.

    Raises `SplitError` for a file that cannot be read, a record that is broken, a column that is missing, or
    a share that leaves one side empty.
    """
    if not 0 < splitting.eval_share < 1:
        raise SplitError(f"--eval-percentage: {splitting.eval_share * 100:g} must be between 0 and 100")
    if len({path.resolve() for path in (data, train, evaluation)}) < 3:
        raise SplitError("the data and both outputs must be three different files")
    try:
        table = _read(data)
    except OSError as error:
        raise SplitError(f"{data} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SplitError(f"{data} is not UTF-8 (byte {error.start})") from error
    held_out = choose([row.fields for row in table.rows], splitting)
    parts = (
        [row for index, row in enumerate(table.rows) if index not in held_out],
        [row for index, row in enumerate(table.rows) if index in held_out],
    )
    if not all(parts):
        raise SplitError(
            f"{splitting.eval_share * 100:g} % of {len(table.rows)} records leaves one side without any: "
            "choose another --eval-percentage"
        )
    for path, rows in zip((train, evaluation), parts, strict=True):
        # Half a character, which UTF-8 has not, becomes the escape that stood for it in the JSON.
        path.write_bytes(table.written(rows).encode("utf-8", "backslashreplace"))
    return len(parts[0]), len(parts[1])


def choose(records: Sequence[dict[str, object]], splitting: Splitting) -> set[int]:
    """Indices of the records to evaluate with. Raises `SplitError` for a column that a record lacks."""
    if splitting.hash_by is not None:
        return {
            index
            for index, record in enumerate(records)
            if _hash(_value(record, splitting.hash_by, index), splitting.seed)
            < splitting.eval_share * _HASH_RANGE
        }
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        groups[_value(record, splitting.stratify_by, index) if splitting.stratify_by else ""].append(index)
    chance = random.Random(splitting.seed)  # noqa: S311 - a reproducible choice, no secret
    held_out: set[int] = set()
    for name in sorted(groups):
        members = groups[name]
        held_out |= set(chance.sample(members, round(len(members) * splitting.eval_share)))
    return held_out


def _value(record: dict[str, object], column: str, index: int) -> str:
    if column and column not in record:
        found = ", ".join(map(str, record)) or "none"
        raise SplitError(f"record {index + 1} has no column {column!r}; it has: {found}")
    return json.dumps(record[column] if column else record, sort_keys=True, ensure_ascii=False)


def _hash(value: str, seed: int) -> int:
    digest = hashlib.sha256(f"{seed}\0{value}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big")


def _read(path: Path) -> _Table:
    suffix = path.suffix.lower()
    if suffix not in {".jsonl", ".ndjson", ".json", ".csv", ".tsv"}:
        raise SplitError(f"{path.name}: only .jsonl, .ndjson, .json, .csv and .tsv files can be divided")
    text = path.read_bytes().decode("utf-8-sig")
    if suffix in {".csv", ".tsv"}:
        return _csv(path, text, "\t" if suffix == ".tsv" else ",")
    if suffix == ".json" and text.lstrip().startswith("["):
        return _json_list(path, text)
    return _json_lines(path, text)


def _json_lines(path: Path, text: str) -> _Table:
    rows: list[_Row] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{path.name}, line {number}"
            rows.append(_Row(line.rstrip("\r") + "\n", _object(_parsed(line, where), where)))
    return _Table(rows)


def _json_list(path: Path, text: str) -> _Table:
    values = _parsed(text, path.name)
    records = [_object(value, f"{path.name}[{position}]") for position, value in enumerate(values)]
    rows = [_Row(json.dumps(record, ensure_ascii=False), record) for record in records]
    return _Table(rows, head="[\n", between=",\n", tail="\n]\n")


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise SplitError(f"{where}: is not valid JSON: {error}") from error
    except (ValueError, RecursionError) as error:
        raise SplitError(f"{where}: has a number of thousands of digits, or nests too deep") from error


def _object(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise SplitError(f"{where}: must be a JSON object")
    return value


def _csv(path: Path, text: str, delimiter: str) -> _Table:
    csv.field_size_limit(len(text) + 1)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[_Row] = []
    header: list[str] = []
    try:
        for cells in reader:
            if not cells:
                continue
            if not header:
                header = cells
                continue
            if len(cells) != len(header):
                where = f"{path.name}, line {reader.line_num}"
                raise SplitError(f"{where}: has {len(cells)} fields; the header has {len(header)}")
            rows.append(_Row(_csv_line(cells, delimiter), dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        raise SplitError(f"{path.name}, line {reader.line_num}: is not valid CSV: {error}") from error
    return _Table(rows, head=_csv_line(header, delimiter))


def _csv_line(cells: Sequence[str], delimiter: str) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter, lineterminator="\n").writerow(cells)
    return line.getvalue()
