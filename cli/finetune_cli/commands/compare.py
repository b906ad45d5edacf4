"""Show how two jobs differ, field by field, and what each difference means.

Effective values are compared, with presets and defaults filled in. --set changes B; without B, A is compared
with itself as --set changes it. If the accelerator is known (--accelerator, or the jobs'
resources.accelerators.type), the difference between the estimates follows: memory, time, cost, carbon.

-o json prints {differences, estimate}: a list of {path, a, b, meaning, consequence}, and {a, b}, each as
`finetune estimate -o json` prints it, or null where the accelerator or a model is not known.

exit status: 0 compared, 1 a file holds no such job, 2 usage error
"""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from finetune_cli import json_writer
from finetune_cli.arguments import add_hardware, add_job, add_set, add_table_or_json
from finetune_cli.errors import CommandError

if TYPE_CHECKING:
    from finetune_api.estimate import Estimate
    from finetune_api.job import FineTuneJob

Difference = dict[str, Any]
"""Of one field: its path, its values a and b, what it means, and what the change leads to."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune compare`."""
    parser.add_argument("a", metavar="A", help="manifest")
    parser.add_argument("b", metavar="B", nargs="?", help="manifest")
    add_job(parser)
    add_set(parser)
    parser.add_argument("--accelerator", metavar="NAME", help="device, by its name in `finetune hardware`")
    add_hardware(parser)
    add_table_or_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the differences."""
    from finetune_cli.effective import read_job

    if arguments.b is None and not arguments.overrides:
        raise CommandError("name a second manifest, or a change with --set")
    one = read_job(arguments.a, arguments.job, ())[1]
    other = read_job(arguments.b or arguments.a, arguments.job, arguments.overrides)[1]
    differences, estimates = _differences(one, other), _estimates(arguments, one, other)
    if arguments.output == "json":
        print(json_writer.dump({"differences": differences, "estimate": _estimates_object(estimates)}))
    else:
        _print(differences, estimates)
    return 0


def _differences(one: "FineTuneJob", other: "FineTuneJob") -> list[Difference]:
    """The fields whose effective values differ, in the order of the API."""
    from finetune_cli.consequences import consequence
    from finetune_cli.effective import values
    from finetune_cli.fields import all_fields

    before, after = values(one), values(other)
    return [
        {
            "path": path,
            "a": before.get(path),
            "b": after.get(path),
            "meaning": field.description,
            "consequence": consequence(path, before.get(path), after.get(path)),
        }
        for path, field in all_fields().items()
        if before.get(path) != after.get(path)
    ]


def _estimates(
    arguments: argparse.Namespace, one: "FineTuneJob", other: "FineTuneJob"
) -> "tuple[Estimate, Estimate] | None":
    """The estimates of both jobs; None where one of them can't be estimated."""
    from finetune_api.estimate import UnknownArchitectureError, decided, estimate
    from finetune_api.printable import printable
    from finetune_cli.estimates import EstimateError, catalog_for, chosen_accelerator

    def estimated(job: "FineTuneJob") -> "Estimate":
        accelerator = chosen_accelerator(job, arguments.accelerator, catalog)
        automatic = decided(job, accelerator, catalog=catalog)
        return automatic.estimate if automatic else estimate(job, accelerator, catalog=catalog)

    try:
        catalog = catalog_for(arguments.hardware)
        return estimated(one), estimated(other)
    except UnknownArchitectureError as error:
        if arguments.accelerator:
            print(printable(f"finetune compare: no estimate: {error}"), file=sys.stderr)
        return None
    except (EstimateError, ValueError) as error:
        if arguments.accelerator or arguments.hardware:
            raise CommandError(str(error)) from None
        return None


def _estimates_object(estimates: "tuple[Estimate, Estimate] | None") -> dict[str, Any] | None:
    if estimates is None:
        return None
    named = zip(("a", "b"), estimates, strict=True)
    return {name: {"fits": found.fits} | found.to_json_object() for name, found in named}


def _print(differences: list[Difference], estimates: "tuple[Estimate, Estimate] | None") -> None:
    from finetune_api.printable import printable
    from finetune_cli.estimates import difference
    from finetune_cli.fields import shown
    from finetune_cli.tables import paragraph

    if not differences:
        print("no difference")
        return
    for found in differences:
        print(printable(f"{found['path']}: {shown(found['a'])} → {shown(found['b'])}"))
        for text in filter(None, (found["meaning"], found["consequence"])):
            print(paragraph(text, "  ", "  "))
    if estimates is not None:
        changed = difference(*estimates)
        print("estimate:" if changed else "estimate: the same")
        for name, (a, b) in changed.items():
            print(f"  {name}: {a} → {b}")
