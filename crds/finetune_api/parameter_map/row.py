"""One row of the parameter map: a name in one of the documents, and where it lives here."""

import dataclasses
from collections.abc import Mapping
from enum import Enum
from typing import Final

from pydantic import JsonValue

Scalar = str | int | bool | None
Values = Mapping[Scalar, JsonValue]


class Stated(Enum):
    """What stands where a value would."""

    NOTHING = "-"
    """The document gives no value."""
    REQUIRED = "required"
    """There is no default: the user must set it."""


NOTHING: Final = Stated.NOTHING
REQUIRED: Final = Stated.REQUIRED


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A parameter of a document that is a field of the API."""

    name: str
    """As the document writes it, dotted where it is nested."""
    field: str
    """Our field's path below `spec`; `[]` stands for the items of a list."""
    theirs: JsonValue | Stated = NOTHING
    """The document's default or, where it gives none, the value of its example."""
    ours: JsonValue | Stated = None
    """Our default; None where the field is absent unless somebody sets it."""
    note: str = ""
    """Why the defaults differ, or how one value becomes the other."""
    values: Values = dataclasses.field(default_factory=dict, hash=False)
    """Our value for each of the document's, where they are written in another way."""


@dataclasses.dataclass(frozen=True)
class Elsewhere:
    """A parameter of a document that is no field: a verb, a part of the status, a decision, or nothing."""

    name: str
    """As the document writes it, dotted where it is nested."""
    place: str
    """Where it lives here; for what lives nowhere, why."""


Row = Parameter | Elsewhere


@dataclasses.dataclass(frozen=True)
class Document:
    """All parameters of one of the documents that the product was born from."""

    name: str
    rows: tuple[Row, ...]
