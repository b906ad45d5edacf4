"""Check, preview or split training data before a run.

  check    everything that can be known without the model: broken and duplicate records with file and line,
           lengths, tokens and steps, what is supervised, overlap with the evaluation data
  preview  some records as the model sees them, with what the loss counts in »…«
  split    split a file into one for training and one for evaluation

exit status:
  0   training would begin  2   usage error     10  invalid settings
  11  broken data           15  the tokenizer can't be loaded
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

from finetune_cli.argument_types import count
from finetune_cli.errors import CommandError
from finetune_cli.local.job import add_job_arguments, job_here

_FORMS: Final = ("text", "json", "html")
_ENDINGS: Final = (".jsonl", ".csv", ".parquet", ".txt", ".gz", ".zst")
"""How names of data files end; a manifest may be JSON too."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune data`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="report on the data that would be trained on")
    preview = actions.add_parser("preview", help="show records as the model sees them")
    for action in (check, preview):
        add_job_arguments(action)
        action.add_argument(
            "-n", "--samples", type=count, default=3, metavar="N", help="records to show (default: 3)"
        )
    check.add_argument("-o", "--output", choices=_FORMS, default="text", help="form of the report")
    check.add_argument("--out", type=Path, metavar="FILE", help="write the report here")
    preview.set_defaults(output="samples", out=None)
    split = actions.add_parser("split", help="split a file")
    split.add_argument("data", type=Path, metavar="FILE", help="JSON lines, a JSON list, or CSV")
    split.add_argument("--train-output", type=Path, required=True, metavar="FILE")
    split.add_argument("--eval-output", type=Path, required=True, metavar="FILE")
    split.add_argument(
        "--eval-percentage",
        type=float,
        default=10.0,
        metavar="P",
        help="share for evaluation (default: 10)",
    )
    how = split.add_mutually_exclusive_group()
    how.add_argument("--stratify-by", metavar="COLUMN", help="the same share of each value of this column")
    how.add_argument(
        "--by-hash",
        metavar="COLUMN",
        nargs="?",
        const="",
        help="by a hash of this column, or of the whole record: a record stays on its side when others are "
        "added, and records with the same value stay together",
    )
    split.add_argument("--seed", type=int, default=42, help="another seed, another choice (default: 42)")


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked. Returns the exit status that the module's text lists. Raises `CommandError`."""
    return _split(arguments) if arguments.action == "split" else _check(arguments)


def _check(arguments: argparse.Namespace) -> int:
    from finetune_api import resolve
    from finetune_cli.effective import as_it_runs

    if arguments.file.endswith(_ENDINGS):
        source = shlex.quote(str(Path(arguments.file).resolve()))
        raise CommandError(
            f"{arguments.file} is data, and model and format decide what becomes of it. Name the manifest of "
            f"a job that reads it: finetune init --model ID --dataset {source}"
        )
    with job_here(arguments, creates_claims=False) as here:
        resolved = here.mounts.localize(resolve(as_it_runs(here.job), 1, master_address="127.0.0.1"))
        file = here.scratch / "job.json"
        file.write_text(resolved.model_dump_json(by_alias=True, exclude_none=True), encoding="utf-8")
        command = [sys.executable, "-m", "finetune_trainer", "check-data", "--job", str(file)]
        command += ["--format", arguments.output, "--samples", str(arguments.samples)]
        if arguments.out is not None:
            command += ["--out", str(arguments.out)]
        return subprocess.run(command, check=False).returncode


def _split(arguments: argparse.Namespace) -> int:
    from finetune_cli.splitting import SplitError, Splitting, split_file

    splitting = Splitting(
        eval_share=arguments.eval_percentage / 100,
        seed=arguments.seed,
        stratify_by=arguments.stratify_by,
        hash_by=arguments.by_hash,
    )
    try:
        train, evaluation = split_file(
            arguments.data, arguments.train_output, arguments.eval_output, splitting
        )
    except SplitError as error:
        raise CommandError(str(error)) from None
    print(f"{train} records to train on, {evaluation} to evaluate with")
    return 0
