"""What is written is read again as the same value, by kubectl's rules."""

import pytest

from finetune_cli.yaml_reader import parse
from finetune_cli.yaml_writer import dump


@pytest.mark.parametrize(
    "text", ["y", "N", "off", "2e-4", "0o17", "1_000", "08", "null", "", "<<", "12:30", "org/model"]
)
def test_text_stays_text(text: str) -> None:
    assert parse(dump({"id": text}).encode())[0].value == {"id": text}


@pytest.mark.parametrize("value", [True, None, 3, 2e-4, 1e-05, [1, "a"]])
def test_values_stay_what_they_are(value: object) -> None:
    assert parse(dump({"b": value, "a": 1}).encode())[0].value == {"b": value, "a": 1}


def test_text_that_no_parser_mistakes_has_no_quotes() -> None:
    assert dump({"date": "2024-01-01", "id": "org/model"}) == "date: 2024-01-01\nid: org/model\n"
