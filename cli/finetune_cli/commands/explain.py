"""Say what a field means: its type, its default, its range or values. A section lists its fields.

With FILE, also the value that the job has there, and where it came from: the manifest, --set, a preset, or
the default.

exit status: 0 explained, 1 FILE holds no such job, 2 there is no such field
"""

import argparse
import textwrap
from typing import TYPE_CHECKING

from finetune_cli.arguments import add_job, add_set

if TYPE_CHECKING:
    from finetune_cli.fields import Field


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune explain`."""
    parser.add_argument(
        "field", nargs="?", default="", metavar="FIELD", help="as in training.learningRate; all when absent"
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="manifest, or - for standard input")
    add_job(parser)
    add_set(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the explanation."""
    from finetune_cli.fields import children, field_at

    effective = _effective(arguments) if arguments.file else None
    path = arguments.field.removeprefix("spec").removeprefix(".")
    field = field_at(path) if path else None
    if field is not None:
        _print(field, effective)
    if field is None or field.is_section:
        below = children(field.path if field else "")
        width = max(len(child.path) for child in below)
        for child in below:
            print(f"  {child.path:{width}}  {_summary(child, effective)}")
    return 0


Effective = dict[str, tuple[str, str]]
"""Value and origin by path."""


def _effective(arguments: argparse.Namespace) -> Effective:
    from finetune_api.printable import printable
    from finetune_cli.effective import read_job, values
    from finetune_cli.fields import shown

    prepared, job = read_job(arguments.file, arguments.job, arguments.overrides)
    return {path: (printable(shown(value)), prepared.origin(path)) for path, value in values(job).items()}


def _print(field: "Field", effective: Effective | None) -> None:
    print(f"{field.path}: {field.type}")
    print(textwrap.fill(field.description, 100, initial_indent="  ", subsequent_indent="  "))
    print(f"  section: {field.section or 'spec'}")
    if field.required:
        print("  required")
    if field.default is not None:
        print(f"  default: {field.default}")
    if effective is not None and not field.is_section:
        value, origin = effective.get(field.path, ("absent", "default"))
        print(f"  in this job: {value} ({origin})")


def _summary(field: "Field", effective: Effective | None) -> str:
    if field.is_section:
        return f"section. {field.description}"
    if effective is not None:
        value, origin = effective.get(field.path, ("absent", "default"))
        return f"{value} ({origin})"
    default = (
        "required" if field.required else f"default {field.default}" if field.default is not None else ""
    )
    return f"{default + '. ' if default else ''}{field.description}"
