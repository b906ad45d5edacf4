"""What a stranger wrote moves no cursor, and can be encoded."""

import pytest

from finetune_api.printable import printable, printable_lines


@pytest.mark.parametrize("bad", ["\x1b", "\x9b", "\r", "\n", "\x00", "\u202e", "\udcff"])
def test_what_is_not_to_be_seen_becomes_a_blank(bad: str) -> None:
    assert printable(f"é{bad}x") == "é x"


def test_line_ends_stay_where_they_are_meant() -> None:
    assert printable_lines("a\nb\x1bc") == "a\nb c"
