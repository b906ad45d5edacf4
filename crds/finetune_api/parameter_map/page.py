"""docs/reference/parameter-map.md, from the rows."""

import json
from collections.abc import Iterator

from pydantic import JsonValue

from finetune_api.parameter_map import DOCUMENTS
from finetune_api.parameter_map.row import Elsewhere, Parameter, Row, Stated

_INTRODUCTION = (
    "# Where every parameter went\n\n"
    "The product was born from five documents. This is each of their parameters: its name there, the value "
    "that the document gives it (its default, or that of its example), our field, written below `spec`, our "
    "default, and how the values go over. What is no field says where it lives instead.\n"
)


def parameter_map_page() -> str:
    """The whole page, without the notice that it is generated."""
    return "".join(
        [_INTRODUCTION, *(part for document in DOCUMENTS for part in _table(document.name, document.rows))]
    )


def _table(title: str, rows: tuple[Row, ...]) -> Iterator[str]:
    yield f"\n## {title[0].upper()}{title[1:]}\n\n"
    yield "| its name there | value there | our field | our default | remarks |\n|---|---|---|---|---|\n"
    for row in rows:
        yield _line(row)


def _line(row: Row) -> str:
    if isinstance(row, Elsewhere):
        return f"| `{row.name}` | | | | {row.place} |\n"
    field = f"`{row.field}`"
    return f"| `{row.name}` | {_shown(row.theirs)} | {field} | {_shown(row.ours)} | {_remarks(row)} |\n"


def _remarks(row: Parameter) -> str:
    renamed = [f"{_shown(theirs)} is {_shown(ours)}" for theirs, ours in row.values.items() if theirs != ours]
    return "; ".join(part for part in [row.note, ", ".join(renamed)] if part)


def _shown(value: JsonValue | Stated) -> str:
    if value is Stated.NOTHING:
        return ""
    if value is Stated.REQUIRED:
        return "*required*"
    if value is None:
        return "absent"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"
