"""What is written is read again as the same value, by kubectl's rules."""

from collections.abc import Callable

import pytest

from finetune_cli.yaml_reader import parse
from finetune_cli.yaml_writer import dump, dump_for_python


@pytest.mark.parametrize(
    "text", ["y", "N", "off", "2e-4", "0o17", "1_000", "08", "null", "", "<<", "12:30", "org/model"]
)
def test_text_stays_text(text: str) -> None:
    assert parse(dump({"id": text}).encode())[0].value == {"id": text}


@pytest.mark.parametrize("value", [True, None, 3, 2e-4, 1e-05, [1, "a"]])
def test_values_stay_what_they_are(value: object) -> None:
    assert parse(dump({"b": value, "a": 1}).encode())[0].value == {"b": value, "a": 1}


HIDDEN = "\x1b]0;title\x07 \x9b2J \x7f \u202edlrow\u2066 \u200b \ufeff \U000e0041"
"""A terminal's title, C1 and DEL, letters that run backwards, and what has no width."""


@pytest.mark.parametrize("write", [dump, dump_for_python])
def test_what_is_not_to_be_seen_is_an_escape_and_reads_as_what_it_was(write: Callable[[object], str]) -> None:
    written = write({"name": HIDDEN, f"key {HIDDEN}": ["one\ntwo", "three\x85four\u2028five"]})
    assert [char for char in written if not char.isprintable() and char != "\n"] == []
    read = parse(written.encode())[0].value
    assert read == {"name": HIDDEN, f"key {HIDDEN}": ["one\ntwo", "three\x85four\u2028five"]}


def test_letters_of_every_script_and_their_spaces_stay_as_they_are() -> None:
    assert dump({"a": "Straße\u00a012", "b": "日本\u3000語"}) == "a: Straße\u00a012\nb: 日本\u3000語\n"


def test_text_that_no_parser_mistakes_has_no_quotes() -> None:
    assert dump({"date": "2024-01-01", "id": "org/model"}) == "date: 2024-01-01\nid: org/model\n"
