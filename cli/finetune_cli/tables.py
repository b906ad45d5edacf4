"""Tables and paragraphs for terminals."""

import shutil
import textwrap
from collections.abc import Sequence
from typing import Final

WIDEST: Final = 100
"""Columns of a paragraph where no terminal says that it has fewer: longer lines are hard to read."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the rows under a header in capitals (but for units, as in `GiB`)."""
    return "\n".join(aligned([[_capitals(cell) for cell in header], *rows]))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a line for each row, columns as wide as their longest cell, two blanks apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def paragraph(text: str, first: str = "", rest: str = "") -> str:
    """Return the text in lines for which the terminal has room; `first` begins one, `rest` those after it."""
    width = min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)
    return textwrap.fill(
        text,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def paragraphs(text: str) -> str:
    """Return a docstring in lines for which the terminal has room; paragraphs with lists stay as they are."""
    parts = text.strip().split("\n\n")
    return "\n\n".join(part if "  " in part else paragraph(part) for part in parts)


def _capitals(text: str) -> str:
    return " ".join(word.upper() if word.islower() else word for word in text.split(" "))
