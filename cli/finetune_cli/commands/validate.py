"""Check FineTuneJobs: what is wrong, what is risky, and what would be better.

The findings are those of the admission webhook and of the operator, word for word; only what the schema
itself refuses (types, choices, unknown fields) is worded by the API server there. A job's preset, built in
or in one of the files, is filled in first. Other kinds of object in the files are ignored.

-o json prints a list of {file, valid, errors, warnings, suggestions}; each finding in them is
{code, path, value, message, remedy}. This form is stable.

exit status: 0 every job may run, 1 a job may not, 2 usage error
"""

import argparse
import gc
import os

from finetune_cli import json_writer
from finetune_cli.arguments import add_set, add_table_or_json


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune validate`."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="manifest, or - for standard input")
    add_set(parser)
    add_table_or_json(parser)
    parser.add_argument(
        "--target",
        choices=("cluster", "local"),
        default="cluster",
        help="where the job is to run: as pods, or by `finetune run` on this machine",
    )


def run(arguments: argparse.Namespace) -> int:
    """Check every file. Returns 1 if one of them has an error."""
    # Building the models makes many objects and no garbage: looking for it takes a tenth of the time.
    gc.disable()
    # Pydantic looks for plugins, which watch it work, in the metadata of every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        return _run(arguments)
    finally:
        gc.enable()


def _run(arguments: argparse.Namespace) -> int:
    from finetune_api.printable import printable
    from finetune_cli.findings import check_files

    reports = check_files(arguments.files, arguments.target, arguments.overrides)
    if arguments.output == "json":
        print(json_writer.dump([report.to_json_object() for report in reports]))
    else:
        for report in reports:
            for line in report.lines():
                print(line)
            print(f"{printable(report.file)}: {'valid' if report.valid else 'invalid'}")
    return 0 if all(report.valid for report in reports) else 1
