"""Train on this machine, without a cluster, from the same manifest; print the status that the cluster would
show.

The operator's own rules decide what happens: retries, back-off, resuming from the newest checkpoint. A
claim NAME is the directory ./volumes/NAME unless --volume says otherwise, and so is a ConfigMap or Secret
that is not in the file.

Ctrl-C saves a checkpoint and ends the run; the same command goes on from there. A second Ctrl-C ends it at
once.

exit status:
  0   trained           2   wrong use            20  interrupted, a checkpoint is saved
  10  invalid settings  11  broken data          12  out of memory
  13  diverged          14  storage failed       15  the model can't be loaded
  16  the output can't be loaded                 1   anything else
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from finetune_cli.arguments import add_job, add_set

if TYPE_CHECKING:
    from finetune_api import FineTuneJob
    from finetune_cli.local.runner import Outcome
    from finetune_cli.manifests import ManifestFile

_LOG_TAIL_LINES: Final = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune run`."""
    add_job_arguments(parser)
    parser.add_argument(
        "-o", "--output", choices=("yaml", "json"), default="yaml", help="how the final status is printed"
    )


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which job, and where its volumes are on this machine."""
    parser.add_argument("file", metavar="FILE", help="manifest, or - for standard input")
    add_job(parser)
    add_set(parser)
    parser.add_argument(
        "--volume",
        action="append",
        default=[],
        type=_volume,
        metavar="NAME=DIR",
        dest="volumes",
        help="directory that stands for a claim, ConfigMap or Secret; may be repeated",
    )
    parser.add_argument(
        "--volumes-directory",
        type=Path,
        default=Path("volumes"),
        metavar="DIR",
        help="parent of all other volumes (default: ./volumes)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the job and print its status. Returns the exit status that the module's text lists."""
    found = read_job(arguments)
    return found if isinstance(found, int) else _run(*found, arguments)


def read_job(arguments: argparse.Namespace) -> "tuple[FineTuneJob, ManifestFile] | int":
    """The job that the arguments name, without errors; or the exit status, after saying what is wrong."""
    from finetune_api import ExitCode, check_manifest, validate_job
    from finetune_cli.findings import place
    from finetune_cli.manifests import chosen, load
    from finetune_cli.preparation import prepare
    from finetune_cli.yaml_reader import YamlError

    try:
        manifest = load(arguments.file)
        document = chosen(manifest.label, manifest.jobs, arguments.job)
        body = prepare(document, manifest.presets, arguments.overrides).body
    except YamlError as error:
        return _fail(f"{arguments.file}: {error}. {error.remedy}", ExitCode.INVALID_CONFIG)
    job, findings = check_manifest(body)
    if job is not None:
        findings = validate_job(job, "local")
    for placed in place(document, findings):
        print(placed.line(manifest.label), file=sys.stderr)
    if job is None or any(finding.severity == "error" for finding in findings):
        return ExitCode.INVALID_CONFIG
    return job, manifest


def _run(job: "FineTuneJob", manifest: "ManifestFile", arguments: argparse.Namespace) -> int:
    import tempfile

    from finetune_api import ExitCode
    from finetune_cli.local.display import display_for
    from finetune_cli.local.requirements import missing_requirements
    from finetune_cli.local.runner import Runner
    from finetune_cli.local.volumes import VolumeDirectories, VolumeError, local_mounts

    if missing := missing_requirements(job):
        return _fail(missing, 2)
    directories = VolumeDirectories(dict(arguments.volumes), arguments.volumes_directory)
    with tempfile.TemporaryDirectory(prefix="finetune-", ignore_cleanup_errors=True) as scratch:
        try:
            mounts = local_mounts(job, directories, manifest.config_maps, Path(scratch))
        except VolumeError as error:
            return _fail(str(error), 2)
        display = display_for(sys.stderr)
        try:
            outcome = Runner(job, mounts, display, Path(scratch)).run()
        finally:
            display.close()
        if outcome.exit_code == ExitCode.INTERRUPTED:
            print("Interrupted; the same command goes on from the newest checkpoint.", file=sys.stderr)
        elif outcome.exit_code != ExitCode.SUCCEEDED:
            _print_logs(outcome.logs)
    _print_status(outcome, arguments.output)
    return outcome.exit_code


def _volume(text: str) -> tuple[str, Path]:
    name, equals, directory = text.partition("=")
    if not (name and equals and directory):
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME=DIRECTORY")
    return name, Path(directory)


def _print_logs(logs: Sequence[Path]) -> None:
    from finetune_cli.terminal import log_line

    colours = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    for log in logs:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in lines[-_LOG_TAIL_LINES:]:
            print(log_line(f"{log.stem}: {line}", colours=colours), file=sys.stderr)


def _print_status(outcome: "Outcome", output: str) -> None:
    from finetune_cli import json_writer
    from finetune_cli.yaml_writer import dump

    status = outcome.status.to_json_object()
    if output == "json":
        print(json_writer.dump(status))
    else:
        print(dump(status), end="")


def _fail(message: str, status: int) -> int:
    from finetune_api.printable import printable_lines

    print(printable_lines(f"finetune run: {message}"), file=sys.stderr)
    return int(status)
