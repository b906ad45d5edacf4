"""String constants that carry their meaning, so that reference pages are generated from them."""

from enum import StrEnum
from typing import Self


class DocumentedStr(StrEnum):
    """A string constant with its meaning beside it: `NAME = "Value", "What it means."`."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member
