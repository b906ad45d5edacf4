"""The fields of a job's spec, from the models: what `finetune explain` and `finetune compare` print."""

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from finetune_api.base import AUTO_PATTERN
from finetune_api.crd import fields_below, structural_schema
from finetune_api.job import FineTuneJobSpec
from finetune_api.status import FineTuneJobStatus
from finetune_cli.errors import CommandError


@dataclass(frozen=True)
class Field:
    """One field: its path below `spec` (`resources.env[].name`), and what the schema says of it."""

    path: str
    schema: Mapping[str, Any]
    required: bool

    @property
    def description(self) -> str:
        """What it means."""
        return str(self.schema.get("description", ""))

    @property
    def is_section(self) -> bool:
        """Whether it has fields of its own."""
        return "properties" in self.schema or "properties" in self.schema.get("items", {})

    @property
    def section(self) -> str:
        """The path of what it belongs to; an empty string for the spec itself."""
        return self.path.rpartition(".")[0].removesuffix("[]")

    @property
    def type(self) -> str:
        """Its type in words, with range or values: `number, > 0, ≤ 10`."""
        return _type(self.schema)

    @property
    def default(self) -> str | None:
        """Its default as YAML would write it; None where it has none."""
        if self.required or self.is_section or "default" not in self.schema:
            return None
        return shown(self.schema["default"])


def shown(value: Any) -> str:
    """Return a value on one line, as it could stand in a manifest."""
    if value is None:
        return "absent"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@cache
def all_fields() -> Mapping[str, Field]:
    """Every field by its path, sections included."""
    return {found[0]: Field(*found) for found in fields_below("", structural_schema(FineTuneJobSpec))}


def spec_field() -> Field:
    """The spec itself."""
    return Field("spec", structural_schema(FineTuneJobSpec), required=True)


@cache
def status_fields() -> Mapping[str, Field]:
    """The same of the status, below `status`."""
    schema = structural_schema(FineTuneJobStatus)
    status = Field("status", schema, required=False)
    return {"status": status} | {found[0]: Field(*found) for found in fields_below("status", schema)}


def _fields_around(path: str) -> Mapping[str, Field]:
    return status_fields() if path.partition(".")[0] == "status" else all_fields()


def field_at(path: str) -> Field:
    """Return the field that a user means: with or without `spec.`, indices, and in snake_case too.

    A path that begins with `status` is one of the status. With a key of a map (`resources.nodeSelector.zone`)
    the map is meant.

    Raises `CommandError`, with the nearest field.
    """
    wanted = _normal(path)
    fields = _fields_around(wanted)
    if wanted in fields:
        return fields[wanted]
    around = fields.get(wanted.rpartition(".")[0])
    if around is not None and "additionalProperties" in around.schema:
        return around
    last = wanted.rpartition(".")[2]
    named = [known for known in fields if known.rpartition(".")[2].lower() == last.lower()]
    named = named or _called(path.rpartition(".")[2])
    near = difflib.get_close_matches(wanted, fields, n=1, cutoff=0.6)
    if not near:
        names = {known.rpartition(".")[2]: known for known in reversed(list(fields))}
        near = [names[name] for name in difflib.get_close_matches(last, names, n=1, cutoff=0.7)]
    meant = (named or near)[:3]
    hint = f"did you mean {' or '.join(meant)}?" if meant else "`finetune explain` lists the sections."
    raise CommandError(f"{path} is not a field of the API; {hint}")


def _called(name: str) -> list[str]:
    """The fields that other programs call by that name."""
    from finetune_api.parameter_map.names import fields_called
    from finetune_cli.foreign import axolotl, llamafactory, trl
    from finetune_cli.foreign.rules import Choice, To

    rules = (program.TABLE.get(name) for program in (llamafactory, axolotl, trl))
    paths = [rule.path for rule in rules if isinstance(rule, To | Choice)]
    return list(dict.fromkeys([*fields_called(name), *paths]))


def children(section: str) -> list[Field]:
    """Return the fields directly below a section; an empty path is the spec."""
    return [field for field in _fields_around(section).values() if field.section == section]


def _normal(path: str) -> str:
    path = re.sub(r"^(ftj\.|finetunejobs?\.)?spec\.?", "", path.strip().strip("."))
    path = re.sub(r"\[\d+\]", "[]", path)
    path = re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), path)
    return path if path in _fields_around(path) else path.removesuffix("[]")


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if schema.get("pattern") == AUTO_PATTERN:
        number = {"type": "integer", "minimum": schema["minimum"], "maximum": schema["maximum"]}
        return f"auto, or {_type(number)}"
    if schema.get("x-kubernetes-int-or-string"):
        return "quantity, as in 500m or 8Gi"
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if "properties" in schema:
        return "section"
    kind = str(schema.get("type", "any"))
    bounds = [
        f"{'>' if schema.get('exclusiveMinimum') else '≥'} {schema['minimum']:g}"
        if "minimum" in schema
        else "",
        f"{'<' if schema.get('exclusiveMaximum') else '≤'} {schema['maximum']:g}"
        if "maximum" in schema
        else "",
        f"at most {schema['maxLength']} characters" if "maxLength" in schema else "",
        f"of the form {schema['pattern']}" if "pattern" in schema else "",
    ]
    return ", ".join([kind, *filter(None, bounds)])
