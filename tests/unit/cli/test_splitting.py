"""`finetune data split`: who goes where, and that nothing is lost or changed."""

import json
from pathlib import Path

import pytest

from finetune_cli.main import main
from finetune_cli.splitting import SplitError, Splitting, choose, split_file


def lines(count: int) -> list[str]:
    return [
        json.dumps({"id": number, "label": "rare" if number % 5 == 0 else "often"}) for number in range(count)
    ]


def split(tmp_path: Path, content: str, name: str = "d.jsonl", **settings: object) -> tuple[str, str]:
    data, train, evaluation = (tmp_path / part for part in (name, f"train-{name}", f"eval-{name}"))
    data.write_bytes(content.encode("utf-8"))
    split_file(data, train, evaluation, Splitting(**{"eval_share": 0.2, **settings}))  # type: ignore[arg-type]
    return train.read_text(encoding="utf-8"), evaluation.read_text(encoding="utf-8")


def test_each_record_is_on_one_side_unchanged_and_in_order(tmp_path: Path) -> None:
    given = ['{"a":1,  "é":2}', '{"a": 1e3}', "", *lines(18)]
    train, evaluation = split(tmp_path, "\r\n".join(given))
    parts = train.splitlines(), evaluation.splitlines()
    assert [len(part) for part in parts] == [16, 4]
    kept = [line for line in given if line]
    assert sorted([*parts[0], *parts[1]]) == sorted(kept)
    assert all(part == sorted(part, key=kept.index) for part in parts)


def test_the_same_seed_makes_the_same_choice_and_another_one_another() -> None:
    records: list[dict[str, object]] = [{"id": number} for number in range(100)]
    first, again, other = (choose(records, Splitting(0.2, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) == len(other) == 20


def test_each_value_of_a_column_has_its_share() -> None:
    records: list[dict[str, object]] = [{"label": "rare" if i % 10 == 0 else "often"} for i in range(100)]
    held_out = choose(records, Splitting(0.2, stratify_by="label"))
    assert len(held_out) == 20
    assert sum(records[index]["label"] == "rare" for index in held_out) == 2


def test_by_hash_a_record_stays_on_its_side_when_others_come_and_go() -> None:
    records: list[dict[str, object]] = [{"id": number} for number in range(1000)]
    settings = Splitting(0.2, hash_by="")
    before = {str(records[index]) for index in choose(records, settings)}
    fewer = records[::-3]
    after = {str(fewer[index]) for index in choose(fewer, settings)}
    assert after == before & {str(record) for record in fewer}
    assert 150 < len(before) < 250


def test_by_hash_of_a_column_its_values_are_never_divided() -> None:
    records: list[dict[str, object]] = [{"author": number % 10, "text": number} for number in range(200)]
    held_out = choose(records, Splitting(0.3, hash_by="author"))
    held = {records[index]["author"] for index in held_out}
    assert held
    assert held_out == {index for index, record in enumerate(records) if record["author"] in held}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("d.json", json.dumps([{"id": number} for number in range(10)])),
        ("d.csv", "id,text\n" + "".join(f'{number},"a, ""b""\nc"\n' for number in range(10))),
        ("d.tsv", "id\ttext\n" + "".join(f"{number}\tx\n" for number in range(10))),
    ],
)
def test_other_files_keep_their_form(tmp_path: Path, name: str, content: str) -> None:
    parts = split(tmp_path, content, name)
    if name == "d.json":
        assert sorted(record["id"] for part in parts for record in json.loads(part)) == list(range(10))
    else:
        header = content.splitlines(keepends=True)[0]
        assert all(part.startswith(header) for part in parts)
        bodies = "".join(part.removeprefix(header) for part in parts)
        assert sorted(bodies) == sorted(content.removeprefix(header))


def test_half_a_character_stays_as_it_is_written(tmp_path: Path) -> None:
    records = [{"id": number, "text": "\ud83d"} for number in range(10)]
    parts = split(tmp_path, json.dumps(records), "d.json")
    assert sorted((r for part in parts for r in json.loads(part)), key=lambda r: r["id"]) == records


@pytest.mark.parametrize(
    ("name", "content", "settings", "problem"),
    [
        ("d.jsonl", '{"a": 1}\n{"a"', {}, "d.jsonl, line 2: is not valid JSON"),
        (
            "d.jsonl",
            '{"a": 1' + "0" * 5000 + "}",
            {},
            "d.jsonl, line 1: has a number of thousands of digits",
        ),
        ("d.jsonl", "[1]\n", {}, "d.jsonl, line 1: must be a JSON object"),
        ("d.json", "[1]", {}, r"d.json\[0\]: must be a JSON object"),
        ("d.csv", "a,b\n1\n", {}, "d.csv, line 2: has 1 fields; the header has 2"),
        ("d.parquet", "x", {}, "only .jsonl, .ndjson, .json, .csv and .tsv files can be divided"),
        ("d.jsonl", '{"a": 1}\n', {"stratify_by": "b"}, "record 1 has no column 'b'; it has: a"),
        ("d.jsonl", '{"a": 1}\n', {}, "leaves one side without any"),
        ("d.jsonl", '{"a": 1}\n', {"eval_share": 1.0}, "--eval-percentage: 100 must be between 0 and 100"),
    ],
)
def test_what_cannot_be_divided_is_said_with_file_and_line(
    tmp_path: Path, name: str, content: str, settings: dict[str, object], problem: str
) -> None:
    with pytest.raises(SplitError, match=problem):
        split(tmp_path, content, name, **settings)
    assert not (tmp_path / f"train-{name}").exists()


def test_no_file_is_overwritten_by_its_own_parts(tmp_path: Path) -> None:
    data = tmp_path / "d.jsonl"
    data.write_text("\n".join(lines(10)))
    with pytest.raises(SplitError, match="three different files"):
        split_file(data, data, tmp_path / "e.jsonl", Splitting(0.2))


def test_the_command_divides_and_says_how_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "d.jsonl"
    data.write_text("\n".join(lines(50)))
    outputs = ["--train-output", str(tmp_path / "t.jsonl"), "--eval-output", str(tmp_path / "e.jsonl")]
    assert main(["data", "split", str(data), *outputs, "--stratify-by", "label"]) == 0
    assert capsys.readouterr().out == "45 records to train on, 5 to evaluate with\n"
    assert main(["data", "split", str(tmp_path / "none.jsonl"), *outputs]) == 2
    assert "none.jsonl cannot be read: No such file" in capsys.readouterr().err
