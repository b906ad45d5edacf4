"""Look at training data before a run, and divide it.

  check    everything that can be known without the model: broken and duplicate records with file and line,
           lengths, tokens and steps, what is supervised, overlap with the evaluation data
  preview  some records as the model sees them, with what the loss counts in »…«
  split    divide a file into one to train on and one to evaluate with

exit status:
  0   training would begin  2   wrong use       10  invalid settings
  11  broken data           15  the tokenizer can't be loaded
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from finetune_cli.commands import run as run_command

if TYPE_CHECKING:
    from finetune_api import FineTuneJob
    from finetune_cli.manifests import ManifestFile

_FORMS: Final = ("text", "json", "html")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune data`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="say what would be trained on")
    preview = actions.add_parser("preview", help="show records as the model sees them")
    for action in (check, preview):
        run_command.add_job_arguments(action)
        action.add_argument(
            "-n", "--samples", type=int, default=3, metavar="N", help="records to show (default: 3)"
        )
    check.add_argument("-o", "--output", choices=_FORMS, default="text", help="form of the report")
    check.add_argument("--out", type=Path, metavar="FILE", help="write the report here")
    preview.set_defaults(output="samples", out=None)
    split = actions.add_parser("split", help="divide a file")
    split.add_argument("data", type=Path, metavar="FILE", help="JSON lines, a JSON list, or CSV")
    split.add_argument("--train-output", type=Path, required=True, metavar="FILE")
    split.add_argument("--eval-output", type=Path, required=True, metavar="FILE")
    split.add_argument(
        "--eval-percentage",
        type=float,
        default=10.0,
        metavar="P",
        help="share to evaluate with (default: 10)",
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
    """Do what is asked. Returns the exit status that the module's text lists."""
    if arguments.action == "split":
        return _split(arguments)
    found = run_command.read_job(arguments)
    return found if isinstance(found, int) else _check(*found, arguments)


def _check(job: "FineTuneJob", manifest: "ManifestFile", arguments: argparse.Namespace) -> int:
    import tempfile

    from finetune_api import resolve
    from finetune_cli.local.requirements import missing_requirements
    from finetune_cli.local.volumes import VolumeDirectories, VolumeError, local_mounts

    if missing := missing_requirements(job):
        return _fail(missing, 2)
    directories = VolumeDirectories(dict(arguments.volumes), arguments.volumes_directory)
    with tempfile.TemporaryDirectory(prefix="finetune-", ignore_cleanup_errors=True) as scratch:
        try:
            mounts = local_mounts(job, directories, manifest.config_maps, Path(scratch))
        except VolumeError as error:
            return _fail(str(error), 2)
        resolved = mounts.localize(resolve(job, 1, master_address="127.0.0.1"))
        file = Path(scratch) / "job.json"
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
        return _fail(str(error), 2)
    print(f"{train} records to train on, {evaluation} to evaluate with")
    return 0


def _fail(message: str, status: int) -> int:
    from finetune_api.printable import printable_lines

    print(printable_lines(f"finetune data: {message}"), file=sys.stderr)
    return status
