"""The date data set: reproducible, right, fit for a ConfigMap, and nothing held out is in training."""

import importlib.util
import json
import re
from datetime import date
from pathlib import Path
from types import ModuleType

import pytest

DATA = Path(__file__).parents[3] / "examples" / "data"
CONFIG_MAP_LIMIT = 1024 * 1024


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_dates", DATA / "generate_dates.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def records(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


TRAINING = records("dates-train.jsonl")
HELD_OUT = records("dates-heldout.jsonl")


def test_the_committed_files_are_what_the_generator_writes(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["generate_dates.py", "--directory", str(tmp_path)])
    generator.main()
    for name in ("dates-train.jsonl", "dates-heldout.jsonl"):
        assert (tmp_path / name).read_bytes() == (DATA / name).read_bytes()


def test_both_files_fit_into_one_config_map() -> None:
    assert sum(file.stat().st_size for file in DATA.glob("dates-*.jsonl")) < 0.7 * CONFIG_MAP_LIMIT


def test_no_date_and_no_text_is_in_both_files() -> None:
    for field in ("input", "output"):
        assert not {record[field] for record in TRAINING} & {record[field] for record in HELD_OUT}


def test_some_held_out_records_are_worded_as_no_training_record(generator: ModuleType) -> None:
    assert not set(generator.HELD_OUT_FRAMES) & set(generator.TRAINING_FRAMES)
    new = [frame.partition("{")[0] for frame in generator.HELD_OUT_FRAMES]
    assert sum(record["input"].startswith(tuple(new)) for record in HELD_OUT) >= len(HELD_OUT) // 4
    assert not any(record["input"].startswith(tuple(new)) for record in TRAINING)


def test_every_answer_is_a_date_whose_day_and_year_stand_in_the_input() -> None:
    for record in TRAINING + HELD_OUT:
        day = date.fromisoformat(record["output"])
        numbers = {int(number) for number in re.findall(r"\d+", record["input"])}
        assert {day.day, day.year} <= numbers, record


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("March 5, 2021", date(2021, 3, 5)),
        ("March 3rd, 2021", date(2021, 3, 3)),
        ("the 11th of May, 1999", date(1999, 5, 11)),
        ("Friday, March 5, 2021", date(2021, 3, 5)),
        ("Fri, 05 Mar 2021", date(2021, 3, 5)),
        ("05.03.2021", date(2021, 3, 5)),
        ("2021/03/05", date(2021, 3, 5)),
    ],
)
def test_a_date_is_written_in_each_form(generator: ModuleType, text: str, day: date) -> None:
    assert text in [form(day) for form in generator.FORMS]


@pytest.mark.parametrize(
    ("number", "word"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (13, "13th"), (22, "22nd")],
)
def test_ordinals_end_as_in_english(generator: ModuleType, number: int, word: str) -> None:
    assert generator._ordinal(number) == word
