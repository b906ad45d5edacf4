"""docs/reference/parameter-map.md, from the rows."""

import json
from collections.abc import Iterator

from pydantic import JsonValue

from finetune_api.parameter_map import DOCUMENTS
from finetune_api.parameter_map.advice import ADVICE, Advice
from finetune_api.parameter_map.row import Document, Elsewhere, Parameter, Row, Stated
from finetune_api.validation.codes import Code

_INTRODUCTION = (
    "# Where every parameter went\n\n"
    "The product was born from five documents. This is each of their parameters: its name there, the value "
    "that the document gives it (its default, or that of its example), our field, written below `spec`, our "
    "default, and how the values go over. What is no field says where it lives instead. Below each table "
    "stands what the document demands or advises, and the finding that says it before a run.\n"
)


def parameter_map_page() -> str:
    """The whole page, without the notice that it is generated."""
    return "".join([_INTRODUCTION, *(line for document in DOCUMENTS for line in _section(document))])


def _section(document: Document) -> Iterator[str]:
    yield f"\n## {document.name[0].upper()}{document.name[1:]}\n\n"
    yield "| its name there | value there | our field | our default | remarks |\n|---|---|---|---|---|\n"
    yield from map(_line, document.rows)
    yield "\n| rule or advice | where it is followed |\n|---|---|\n"
    yield from map(_advice_line, ADVICE[document.name])


def _advice_line(advice: Advice) -> str:
    place = f"finding `{advice.place}`" if isinstance(advice.place, Code) else advice.place
    return f"| {advice.text} | {place} |\n"


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
