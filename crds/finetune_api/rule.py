"""A rule that the API server checks in CEL and the validator in Python, with one text for both.

The API server can put values into its messages (`messageExpression`), so that `kubectl apply` says what every
other route says, word for word: the field, the value, the rule and the remedy.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pydantic import JsonValue

from finetune_api.base import cel


@dataclass(frozen=True)
class Rule:
    """One rule over the fields of an object (a schema node, `self` in CEL)."""

    holds: str
    """CEL: whether the object keeps the rule."""

    message: str
    """What the rule says; the finding's message begins with it."""

    remedy: str
    """What to change, without a full stop."""

    path: str = ""
    """Dotted path of the field it is about, below the object; empty: the object itself."""

    value: str = ""
    """CEL: the value that is shown in front, a string of limited length (`string(x)` is not). Empty: no value
    is shown, and the finding has none."""

    detail: str = ""
    """How the object breaks the rule, behind the message; {names} in braces stand for `words`."""

    words: Mapping[str, str] = field(default_factory=dict)
    """CEL, a string, for each name in the detail."""

    def says(self, **words: str) -> str:
        """The finding's message; `words` are the values of the names in the detail."""
        return self.message + self.detail.format_map(words)

    def at(self, where: str) -> str:
        """The path of the rule's field in an object that stands there."""
        return ".".join(part for part in (where, self.path) if part)

    def in_cel(self, unless: str = "") -> dict[str, JsonValue]:
        """The rule in the form of `x-kubernetes-validations`; `unless` is a condition (CEL) that waives it.

        `message` stands in where the API server can't make out the values.
        """
        rule = f"{unless} || ({self.holds})" if unless else self.holds
        field_path = f".{self.path}" if self.path else None
        result = cel(rule, f"{self.message}. {self.remedy}.", field_path=field_path)
        if self.value or self.detail:
            result["messageExpression"] = self._message_expression()
        return result

    def _message_expression(self) -> str:
        names = {name: f'" + ({expression}) + "' for name, expression in self.words.items()}
        detail = _text(self.detail)[1:-1].format_map(names)
        text = f"{_text(self.message)[:-1]}{detail}{_text(f'. {self.remedy}.')[1:]}"
        return f'{self.value} + " {text[1:]}' if self.value else text


def _text(text: str) -> str:
    """A string of CEL, whose escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=False)


NONE_SET: Final = "none is set"


def exactly_one(what: str, fields: Sequence[str], section: str = "", *, unless: str = "") -> Rule:
    """The rule that exactly one of the fields is set: of the object itself, or of a section of it."""
    present = _present(fields, section)
    holds = f"[{', '.join(present)}].filter(present, present).size() == 1"
    return Rule(
        f"{unless} || {holds}" if unless else holds,
        path=section,
        message=f"{what} comes from exactly one place",
        detail=", and {found}",
        words={"found": f"{' || '.join(present)} ? {_names(fields, present)} + ' are set' : '{NONE_SET}'"},
        remedy=f"Set exactly one of {', '.join(fields)}",
    )


def one_at_most(what: str, fields: Sequence[str]) -> Rule:
    """The rule that not more than one of the object's fields is set."""
    present = _present(fields)
    return Rule(
        f"[{', '.join(present)}].filter(present, present).size() <= 1",
        message=f"{what} comes from one place",
        detail=", and {found}",
        words={"found": f"{_names(fields, present)} + ' are set'"},
        remedy=f"Set at most one of {', '.join(fields)}",
    )


def found(present: Sequence[str]) -> str:
    """Which fields are set, as the API server says it under these two rules."""
    return f"{' and '.join(present)} are set" if present else NONE_SET


def _present(fields: Sequence[str], section: str = "") -> list[str]:
    """CEL: for each field whether it is set."""
    return [f"has({'.'.join(filter(None, ('self', section, name)))})" for name in fields]


def _names(fields: Sequence[str], present: Sequence[str]) -> str:
    """CEL: the names of those fields that are set, with «and» between them.

    Piece by piece: the API server takes a `join` for unbounded, and refuses its cost.
    """
    pieces = [f"({present[0]} ? '{fields[0]}' : '')"]
    for index in range(1, len(fields)):
        earlier = " || ".join(present[:index])
        joined = f"({earlier} ? ' and ' : '') + '{fields[index]}'"
        pieces.append(f"({present[index]} ? {joined} : '')")
    return " + ".join(pieces)
