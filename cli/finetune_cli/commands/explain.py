"""Explain a field: what it means, its type, default, and range or values. A section lists its fields.

With FILE, also the value that the job has there, and where it came from: the manifest, --set, a preset, or
the default.

-o json prints {path, type, description, required, default, fields}, and with FILE also {value, origin}, where
fields holds the fields directly below a section, each in the same form. This form is stable.

exit status: 0 explained, 1 FILE holds no such job, 2 there is no such field
"""

import argparse
from typing import TYPE_CHECKING, Any, NamedTuple

from finetune_cli import json_writer
from finetune_cli.arguments import add_job, add_set, add_table_or_json
from finetune_cli.errors import CommandError
from finetune_cli.tables import paragraph

if TYPE_CHECKING:
    from finetune_api.validation.capabilities import Limit
    from finetune_cli.fields import Field


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune explain`."""
    parser.add_argument(
        "field", nargs="?", default="", metavar="FIELD", help="such as training.learningRate; all when absent"
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="manifest, or - for standard input")
    add_job(parser)
    add_set(parser)
    add_table_or_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the explanation."""
    from finetune_cli.fields import children, field_at, spec_field

    if arguments.field.endswith((".yaml", ".yml")):
        example = f"finetune explain training {arguments.field}"
        raise CommandError(f"{arguments.field} is a file; name a field before it, as in `{example}`")
    effective = _effective(arguments) if arguments.file else None
    path = arguments.field.removeprefix("spec").removeprefix(".")
    field = field_at(arguments.field) if path else spec_field()
    below = children(field.path if path else "") if field.is_section else []
    if arguments.output == "json":
        fields = [_json_object(child, effective) for child in below]
        print(json_writer.dump(_json_object(field, effective) | {"fields": fields}))
        return 0
    if path:
        _print(field, effective)
    width = max((len(child.path) for child in below), default=0)
    for child in below:
        print(paragraph(_summary(child, effective), f"  {child.path:{width}}  ", " " * (width + 4)))
    return 0


class Value(NamedTuple):
    """What a job has in a field, and where that came from."""

    value: Any
    origin: str

    def __str__(self) -> str:
        from finetune_api.printable import printable
        from finetune_cli.fields import shown

        return f"{printable(shown(self.value))} ({self.origin})"


Effective = dict[str, Value]
"""The values of a job by path; what is absent is not there."""

_ABSENT = Value(None, "default")


def _effective(arguments: argparse.Namespace) -> Effective:
    from finetune_cli.effective import read_job, values

    prepared, job = read_job(arguments.file, arguments.job, arguments.overrides)
    return {path: Value(value, prepared.origin(path)) for path, value in values(job).items()}


def _json_object(field: "Field", effective: Effective | None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "path": field.path,
        "type": field.type,
        "description": field.description,
        "required": field.required,
        "default": None if field.default is None else field.schema["default"],
        "fields": [],
    }
    if effective is None or (field.is_section and field.path not in effective):
        return told
    return told | effective.get(field.path, _ABSENT)._asdict()


def _possible(limit: "Limit") -> str:
    """The values that are no `NotYetSupported`."""
    return "its default" if limit.values is None else ", ".join(map(str, limit.values))


def _print(field: "Field", effective: Effective | None) -> None:
    from finetune_api.validation.capabilities import LIMITS

    print(f"{field.path}: {field.type}")
    print(paragraph(field.description, "  ", "  "))
    print(f"  section: {field.section or 'spec'}")
    if field.required:
        print("  required")
    if field.default is not None:
        print(f"  default: {field.default}")
    if limit := next((limit for limit in LIMITS if limit.path == field.path), None):
        print(f"  this version takes only {_possible(limit)}")
    if effective is not None and not field.is_section:
        print(f"  in this job: {effective.get(field.path, _ABSENT)}")


def _summary(field: "Field", effective: Effective | None) -> str:
    if field.is_section:
        return f"section. {field.description}"
    if effective is not None:
        return str(effective.get(field.path, _ABSENT))
    default = (
        "required" if field.required else f"default {field.default}" if field.default is not None else ""
    )
    return f"{default + '. ' if default else ''}{field.description}"
