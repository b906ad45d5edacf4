"""The registry of formats."""

from finetune_trainer.data.formats import FORMATS


def test_every_format_is_registered_under_its_own_name() -> None:
    assert {name: format_.name for name, format_ in FORMATS.items()} == {
        "alpaca": "alpaca",
        "csv": "csv",
        "messages": "messages",
        "text": "text",
    }
