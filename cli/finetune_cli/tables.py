"""Plain tables for terminals: columns as wide as their longest cell."""

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the rows under a header in capitals (but for units, as in `GiB`), columns three blanks apart."""
    lines = [[_capitals(cell) for cell in header], *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _capitals(text: str) -> str:
    return " ".join(word.upper() if word.islower() else word for word in text.split(" "))
