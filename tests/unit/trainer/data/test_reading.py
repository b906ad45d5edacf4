"""Files into records: each knows its line, a broken one says what is wrong."""

import bz2
import gzip
import lzma
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest

from finetune_trainer.data import reading
from finetune_trainer.data.examples import BrokenRecord, Record
from finetune_trainer.data.reading import (
    RECORD_SUFFIXES,
    find_files,
    read_csv_records,
    read_json_records,
    read_parquet_records,
    read_plain_file,
    read_records,
)
from finetune_trainer.errors import DataError


def test_json_lines_keep_their_line_numbers_over_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"x": 1}\n\n{"x": 2}\n')
    records = list(read_json_records(path))
    assert [record.origin.line for record in records] == [1, 3]
    assert [str(record.origin) for record in records] == ["a.jsonl, line 1", "a.jsonl, line 3"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"x": ', "is not valid JSON: Expecting value at column 7"),
        ("[1, 2]", "must be a JSON object, not list"),
        ("null", "must be a JSON object, not NoneType"),
    ],
)
def test_a_broken_line_is_reported_and_the_next_one_read(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"x": 1}}\n{line}\n{{"x": 3}}\n')
    first, broken, last = read_json_records(path)
    assert isinstance(first, Record)
    assert isinstance(last, Record)
    assert isinstance(broken, BrokenRecord)
    assert str(broken) == f"a.jsonl, line 2: {problem}"


def test_a_line_that_is_not_utf_8_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"x": 1}\n{"x": "\xff"}\n')
    _, broken = read_json_records(path)
    assert str(broken) == "a.jsonl, line 2: is not UTF-8 (byte 7 of the line)"


def test_a_byte_order_mark_is_no_part_of_the_data(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"x": 1}\n')
    (record,) = read_json_records(path)
    assert isinstance(record, Record)
    assert record.fields == {"x": 1}


def test_a_json_file_may_hold_one_list(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"x": 1},\n {"x": 2}, 3]')
    first, second, broken = read_json_records(path)
    assert [str(record.origin) for record in (first, second)] == ["a.json[0]", "a.json[1]"]
    assert str(broken) == "a.json[2]: must be a JSON object, not int"


def test_csv_rows_know_the_line_they_begin_on(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('input,output\n"two\nlines",a\nq,b\n')
    first, second = read_csv_records(path)
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert first.fields == {"input": "two\nlines", "output": "a"}
    assert (first.origin.line, second.origin.line) == (2, 4)


@pytest.mark.parametrize(
    ("row", "problem"),
    [("a,b,c", "has more fields than the header (2); quote"), ("a", "has fewer fields than the header (2)")],
)
def test_a_csv_row_must_have_as_many_fields_as_the_header(tmp_path: Path, row: str, problem: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"input,output\n{row}\nx,y\n")
    broken, good = read_csv_records(path)
    assert isinstance(good, Record)
    assert str(broken).startswith(f"a.csv, line 2: {problem}")


def test_tab_separated_files_are_read_by_their_suffix(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("input\toutput\n1,5\t2\n")
    (record,) = read_csv_records(path)
    assert isinstance(record, Record)
    assert record.fields == {"input": "1,5", "output": "2"}


GOOD = '{"x": "good"}\n'


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"x": "a", "x": "b"}', "is not usable JSON: an object has 'x' twice"),
        ('{"x": {"y": 1, "y": 1}}', "is not usable JSON: an object has 'y' twice"),
        (f'{{"x": {"9" * 5000}}}', "is not usable JSON: Exceeds the limit (4300 digits)"),
        ('{"x": "half \\ud83d of it"}', "holds \\ud83d without its other half, which is no character"),
        ('{"\\udc00": 1}', "holds \\udc00 without its other half, which is no character"),
        ("\0\0\0", "is not valid JSON: Expecting value at column 1"),
    ],
    ids=["key twice", "inner key twice", "digits", "half a pair", "half a pair in a key", "NUL"],
)
def test_a_line_that_python_reads_otherwise_than_it_was_meant_or_not_at_all_is_named(
    tmp_path: Path, line: str, problem: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(GOOD + line + "\n" + GOOD)
    _, broken, good = read_json_records(path)
    assert str(broken).startswith(f"a.jsonl, line 2: {problem}")
    assert isinstance(good, Record)


def test_both_halves_of_a_pair_are_one_character(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"x": "\\ud83d\\ude00"}')
    (record,) = read_json_records(path)
    assert isinstance(record, Record)
    assert record.fields == {"x": "\N{GRINNING FACE}"}


def test_elements_of_a_list_are_looked_at_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"x": "\\ud800"}, {"x": 1}]')
    broken, good = read_json_records(path)
    assert str(broken).startswith("a.json[0]: holds \\ud800")
    assert isinstance(good, Record)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.gz"])
def test_a_line_of_any_length_in_a_small_file_takes_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(reading, "LONGEST_LINE", 1 << 16)
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"a" * (16 << 20) + b"\n" + GOOD.encode()))
    tracemalloc.start()
    first, *rest = read_records(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "is longer than 65536" in str(first)
    assert len(rest) == (1 if "jsonl" in name else 0)
    assert peak < 4 << 20, "the line is of 16 MiB"


def test_a_list_that_is_too_large_to_be_read_whole_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LARGEST_WHOLE", 8)
    path = tmp_path / "a.json"
    path.write_text('[{"x": 1}]')
    (broken,) = read_json_records(path)
    assert "it holds more than 8 bytes, all read at once: write JSON lines" in str(broken)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_two_columns_of_one_name_are_named(tmp_path: Path, name: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / name
    if name == "a.csv":
        path.write_text("x,,y,,x\n1,2,3,4,5\n")
    else:
        pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"]), path)
    (broken,) = read_records(path)
    assert str(broken).endswith("has two columns of the name 'x'")


def test_rows_of_parquet_that_python_has_no_values_for_are_named_and_no_others(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xff\xfe")]
    )
    pq.write_table(pa.table({"x": texts}), tmp_path / "a.parquet")
    good, broken = read_parquet_records(tmp_path / "a.parquet")
    assert isinstance(good, Record)
    assert str(broken).startswith("a.parquet, row 2: holds a value that cannot be read: 'utf-8' codec")


def test_a_path_may_be_a_file_a_directory_or_a_glob(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.py", "sub/a.py", "notes.bin"):
        (tmp_path / name).write_text("x")
    both = [tmp_path / "b.py", tmp_path / "sub/a.py"]
    assert find_files(str(tmp_path / "b.py"), (".py",)) == [tmp_path / "b.py"]
    assert find_files(str(tmp_path), (".py",)) == both
    assert find_files(f"{tmp_path}/**/*.py", (".txt",)) == both


def test_copies_that_programs_hide_in_a_directory_are_not_read(tmp_path: Path) -> None:
    """Read, they would train the same records twice."""
    seen = tmp_path / ".volume" / "data"
    for name in (
        "train.jsonl",
        ".ipynb_checkpoints/train-checkpoint.jsonl",
        "..2026/train.jsonl",
        ".b.jsonl",
    ):
        (seen / name).parent.mkdir(parents=True, exist_ok=True)
        (seen / name).write_text("{}")
    assert find_files(str(seen), (".jsonl",)) == [seen / "train.jsonl"]


def test_keys_that_a_table_has_added_to_nested_objects_are_gone(tmp_path: Path) -> None:
    """All objects of a column have the same keys there: a model would learn to call tools with `null`."""
    calls: list[dict[str, object]] = [{"city": "Oslo", "day": None}, {"day": "Monday", "city": None}]
    rows: list[dict[str, object]] = [{"calls": [{"arguments": call}], "label": None} for call in calls]
    found = read_parquet_records(parquet(tmp_path / "a.parquet", rows))
    assert [record.fields for record in found if isinstance(record, Record)] == [
        {"calls": [{"arguments": {"city": "Oslo"}}], "label": None},
        {"calls": [{"arguments": {"day": "Monday"}}], "label": None},
    ]


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfHello")
    (record,) = read_plain_file(tmp_path / "a.txt", "text")
    assert isinstance(record, Record)
    assert record.fields == {"text": "Hello"}


def test_a_path_that_stands_for_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        find_files(str(tmp_path / "gone.jsonl"), (".jsonl",))
    with pytest.raises(DataError, match=r"a file that ends in \.jsonl"):
        find_files(str(tmp_path), (".jsonl",))


def parquet(path: Path, rows: list[dict[str, object]]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: bytes(pyarrow.compress(content, codec="zstd", asbytes=True)),
}


@pytest.mark.parametrize("suffix", COMPRESSED)
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b'{"x": "1"}\n{"x": "2"}\n'),
        ("a.json", b'[{"x": "1"}, {"x": "2"}]'),
        ("a.csv", b"x\n1\n2\n"),
    ],
)
def test_a_compressed_file_is_read_as_if_it_were_not(
    tmp_path: Path, suffix: str, name: str, content: bytes
) -> None:
    path = tmp_path / (name + suffix)
    path.write_bytes(COMPRESSED[suffix](content))
    records = list(read_records(path))
    assert all(isinstance(record, Record) for record in records)
    assert [record.fields for record in records if isinstance(record, Record)] == [{"x": "1"}, {"x": "2"}]
    assert str(records[0].origin).startswith(path.name)


@pytest.mark.parametrize("suffix", COMPRESSED)
def test_a_damaged_compressed_file_is_named(tmp_path: Path, suffix: str) -> None:
    whole = COMPRESSED[suffix](b"".join(b'{"x": %d}\n' % number for number in range(9999)))
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(whole[: len(whole) // 2])
    *_, broken = read_records(path)
    assert isinstance(broken, BrokenRecord)
    assert "a.jsonl" in str(broken)


def test_what_only_claims_to_be_compressed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(b'{"x": 1}\n')
    (broken,) = read_records(path)
    assert str(broken).startswith("a.jsonl.gz: is damaged or cannot be read: Not a gzipped file")


def test_parquet_rows_are_records_with_their_number(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", [{"x": "1", "y": [{"z": 1}]}, {"x": "2", "y": None}])
    first, second = read_records(path)
    assert isinstance(first, Record)
    assert first.fields == {"x": "1", "y": [{"z": 1}]}
    assert str(second.origin) == "a.parquet, row 2"


def test_a_damaged_parquet_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 and no more")
    (broken,) = read_records(path)
    assert str(broken).startswith("a.parquet, after row 0: cannot be read as Parquet: ")


def test_a_directory_gives_its_compressed_files_too(tmp_path: Path) -> None:
    for name in ("b.jsonl.gz", "a.parquet", "c.txt", "d.gz"):
        (tmp_path / name).touch()
    assert [path.name for path in find_files(str(tmp_path), RECORD_SUFFIXES)] == ["a.parquet", "b.jsonl.gz"]


def test_a_cell_may_hold_a_long_document(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x\n" + "a" * 200_000 + "\n")
    (record,) = read_records(path)
    assert isinstance(record, Record)
