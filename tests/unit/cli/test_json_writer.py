import json

from finetune_cli.json_writer import dump


def test_what_is_not_to_be_seen_is_an_escape_and_reads_as_what_it_was() -> None:
    value = {"C1 \x9b2J": "DEL \x7f", "bidi": "\u202edlrow", "beyond 16 bits": "\U000e0041", "half": "\udc9b"}
    written = dump(value)
    assert [char for char in written if not char.isprintable() and char != "\n"] == []
    assert json.loads(written) == value


def test_letters_of_every_script_stay_as_they_are() -> None:
    assert dump("日本\u3000語 é 🙂") == '"日本\u3000語 é 🙂"'
