"""Write a job as another program's configuration, and say what is lost.

  llamafactory  LLaMA-Factory's YAML
  axolotl       Axolotl's YAML
  trainer       the JSON that our own trainer reads: python -m finetune_trainer

exit status: 0 written, 1 FILE holds no such job, 2 wrong use
"""

import argparse
import json
import sys

from finetune_cli.arguments import add_job, add_set


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune export`."""
    parser.add_argument("file", metavar="FILE", help="manifest, or - for standard input")
    parser.add_argument("--to", required=True, choices=("llamafactory", "axolotl", "trainer"), help="format")
    add_job(parser)
    add_set(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the configuration; what is lost goes to standard error."""
    import yaml

    from finetune_cli.effective import read_job, values

    prepared, job = read_job(arguments.file, arguments.job, arguments.overrides)
    if arguments.to == "trainer":
        from finetune_api import resolve

        print(json.dumps(resolve(job, 1).to_json_object(), indent=2, ensure_ascii=False))
        print("nothing is lost: the trainer's configuration holds the whole spec", file=sys.stderr)
        return 0
    from finetune_cli.foreign.writing import write

    found = values(job)
    chosen = {path for path in found if prepared.origin(path) != "default"}
    writing = write(found, chosen, arguments.to)
    print(yaml.safe_dump(writing.document, sort_keys=False, allow_unicode=True), end="")
    for lost in writing.lost:
        print(f"lost: {lost.path}: {lost.value} ({lost.reason})", file=sys.stderr)
    return 0
