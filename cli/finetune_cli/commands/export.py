"""Write a job as another program's configuration, and say what is lost.

  llamafactory  LLaMA-Factory's YAML, and the dataset_info.json that says what the names of its data stand for
  axolotl       Axolotl's YAML
  trainer       the JSON that our own trainer reads: python -m finetune_trainer

The configuration goes to standard output, or into a file with -o; dataset_info.json is then written beside
it, keeping the data sets that it already has. Relative paths start at the current directory: run
LLaMA-Factory from there too. What is lost goes to standard error, with what the other program does instead.
The files are for llamafactory 0.9.5 and axolotl 0.19.

exit status: 0 written, 1 FILE holds no such job, 2 usage error
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_cli import json_writer
from finetune_cli.arguments import add_job, add_set
from finetune_cli.files import is_stream, new_file, put, write_whole

if TYPE_CHECKING:
    from finetune_cli.foreign.writing import Writing


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune export`."""
    parser.add_argument("file", metavar="FILE", help="manifest, or - for standard input")
    parser.add_argument("--to", required=True, choices=("llamafactory", "axolotl", "trainer"), help="format")
    parser.add_argument("-o", "--output", metavar="CONFIG", help="file to write; standard output when absent")
    parser.add_argument("--force", action="store_true", help="overwrite what is there already")
    add_job(parser)
    add_set(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the configuration; what is lost goes to standard error."""
    from finetune_cli.effective import as_it_runs, read_job, values

    target = new_file(arguments.output, force=arguments.force)
    prepared, job = read_job(arguments.file, arguments.job, arguments.overrides)
    job = as_it_runs(job)
    if arguments.to == "trainer":
        from finetune_api import resolve

        put(json_writer.dump(resolve(job, 1).to_json_object()) + "\n", target)
        print("nothing is lost: the trainer's configuration holds the whole spec", file=sys.stderr)
        return 0
    from finetune_api.printable import printable
    from finetune_cli.foreign.writing import write

    found = values(job)
    chosen = {path for path in found if prepared.origin(path) != "default"}
    directory = target.parent if target is not None and not is_stream(target) else None
    writing = write(found, chosen, arguments.to, job.metadata.name or "job", directory or Path())
    _put_with_data_sets(writing, target, directory, force=arguments.force)
    for lost in writing.lost:
        print(printable(f"lost: {lost.path}: {lost.value} ({lost.reason})"), file=sys.stderr)
    return 0


def _put_with_data_sets(
    writing: "Writing", target: Path | None, directory: Path | None, *, force: bool
) -> None:
    """Write the configuration and, after it, the directory's dataset_info.json, which others may share.

    What keeps the second from being written is asked before the first is. Without a directory it is shown.
    """
    from finetune_cli.foreign.dataset_info import FILE
    from finetune_cli.foreign.registering import as_text, merged
    from finetune_cli.yaml_writer import dump_for_python

    shared = directory / FILE if directory is not None and writing.data_sets else None
    data_sets = merged(writing.data_sets, shared, force=force) if shared else as_text(writing.data_sets)
    put(dump_for_python(writing.document), target)
    if shared is not None:
        write_whole(shared, data_sets)
    elif writing.data_sets:
        print(f"{FILE}:\n{data_sets}", end="", file=sys.stderr)
