"""Plain tables for terminals: columns as wide as their longest cell."""

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the rows under a header in capitals (but for units, as in `GiB`), columns three blanks apart."""
    return "\n".join(aligned([[_capitals(cell) for cell in header], *rows], blanks=3))


def aligned(rows: Sequence[Sequence[str]], blanks: int = 2) -> list[str]:
    """Return a line for each row, columns as wide as their longest cell, so many blanks apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        (" " * blanks).join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _capitals(text: str) -> str:
    return " ".join(word.upper() if word.islower() else word for word in text.split(" "))
