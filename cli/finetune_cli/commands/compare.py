"""Show how two jobs differ, field by field, and what each difference means.

Effective values are compared, with presets and defaults filled in. --set changes B; without B, A is compared
with itself as --set changes it. If the accelerator is known (--accelerator, or the jobs'
resources.accelerators.type), the difference between the estimates follows: memory, time, cost, carbon.

exit status: 0 compared, 1 a file holds no such job, 2 usage error
"""

import argparse
import textwrap
from typing import TYPE_CHECKING

from finetune_cli import json_writer
from finetune_cli.arguments import add_hardware, add_job, add_set, add_table_or_json
from finetune_cli.errors import CommandError

if TYPE_CHECKING:
    from finetune_api.job import FineTuneJob


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
    from finetune_api.printable import printable
    from finetune_cli.consequences import consequence
    from finetune_cli.effective import read_job, values
    from finetune_cli.fields import all_fields, shown

    if arguments.b is None and not arguments.overrides:
        raise CommandError("name a second manifest, or a change with --set")
    one = read_job(arguments.a, arguments.job, ())[1]
    other = read_job(arguments.b or arguments.a, arguments.job, arguments.overrides)[1]
    before, after = values(one), values(other)
    fields = all_fields()
    differences = [
        {
            "path": path,
            "a": before.get(path),
            "b": after.get(path),
            "meaning": fields[path].description if path in fields else "",
            "consequence": consequence(path, before.get(path), after.get(path)),
        }
        for path in dict.fromkeys([*before, *after])
        if before.get(path) != after.get(path)
    ]
    if arguments.output == "json":
        print(json_writer.dump(differences))
        return 0
    for difference in differences:
        print(printable(f"{difference['path']}: {shown(difference['a'])} → {shown(difference['b'])}"))
        for text in (difference["meaning"], difference["consequence"]):
            if text:
                print(textwrap.fill(str(text), 100, initial_indent="  ", subsequent_indent="  "))
    if not differences:
        print("no difference")
    elif changed := _estimates(arguments, one, other):
        print("estimate:")
        for name, (a, b) in changed.items():
            print(f"  {name}: {a} → {b}")
    return 0


def _estimates(
    arguments: argparse.Namespace, one: "FineTuneJob", other: "FineTuneJob"
) -> dict[str, tuple[str, str]]:
    """What differs between the estimates of two jobs; nothing where one of them can't be estimated."""
    from finetune_api.estimate import UnknownArchitectureError, decided, estimate
    from finetune_cli.estimates import EstimateError, catalog_for, chosen_accelerator, difference

    try:
        catalog = catalog_for(arguments.hardware)
        found = []
        for job in (one, other):
            accelerator = chosen_accelerator(job, arguments.accelerator, catalog)
            automatic = decided(job, accelerator, catalog=catalog)
            found.append(automatic.estimate if automatic else estimate(job, accelerator, catalog=catalog))
    except UnknownArchitectureError:
        return {}
    except (EstimateError, ValueError) as error:
        if arguments.accelerator or arguments.hardware:
            raise CommandError(str(error)) from None
        return {}
    return difference(*found)
