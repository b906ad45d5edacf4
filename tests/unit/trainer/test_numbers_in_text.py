"""Numbers in what models write."""

import pytest

from finetune_trainer.numbers_in_text import last_number, same_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("-3.5 of", -3.5),
        ("1 000", 0.0),
        ("v1.2.3", 0.3),
        ("no", None),
        (".5", 0.5),
        ("1,007", 1007.0),
        ("1,2,3", 3.0),
        ("12,3456", 3456.0),
        ("2e-3", 0.002),
        ("only e5", 5.0),
        ("", None),
    ],
)
def test_the_last_number_of_a_text(text: str, number: float | None) -> None:
    assert last_number(text) == number


def test_numbers_are_the_same_to_a_millionth() -> None:
    assert same_number(1.0, 1.0000001)
    assert not same_number(1.0, 1.0001)
