"""The job that a verb works on here: which one, whether it may run, and where its volumes are."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_cli.arguments import add_job, add_set
from finetune_cli.errors import USAGE, CommandError

if TYPE_CHECKING:
    from finetune_api import FineTuneJob
    from finetune_cli.local.volumes import Mounts
    from finetune_cli.manifests import ManifestFile


@dataclass(frozen=True)
class JobHere:
    """A valid job with its volumes in place. `scratch` is removed when the verb is done."""

    job: "FineTuneJob"
    mounts: "Mounts"
    scratch: Path


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


@contextmanager
def job_here(arguments: argparse.Namespace, *, creates_claims: bool) -> Iterator[JobHere]:
    """Yield the job that the arguments name. With `creates_claims`, a claim that it writes to is made.

    Raises `CommandError`, with the exit status of invalid settings for a job that may not run.
    """
    import tempfile

    from finetune_cli.local.requirements import missing_requirements
    from finetune_cli.local.volumes import VolumeDirectories, VolumeError, local_mounts

    job, manifest = _valid_job(arguments)
    if missing := missing_requirements(job):
        raise CommandError(missing, USAGE)
    directories = VolumeDirectories(dict(arguments.volumes), arguments.volumes_directory)
    with tempfile.TemporaryDirectory(prefix="finetune-", ignore_cleanup_errors=True) as scratch:
        try:
            mounts = local_mounts(
                job, directories, manifest.config_maps, Path(scratch), creates_claims=creates_claims
            )
        except VolumeError as error:
            raise CommandError(str(error), USAGE) from None
        yield JobHere(job, mounts, Path(scratch))


def _valid_job(arguments: argparse.Namespace) -> "tuple[FineTuneJob, ManifestFile]":
    """The job, without errors, and its file; findings go to standard error. Raises `CommandError`."""
    from finetune_api import ExitCode, check_manifest, validate_job
    from finetune_api.validation import errors_in
    from finetune_cli.findings import place
    from finetune_cli.preparation import read

    manifest, prepared = read(
        arguments.file, arguments.job, arguments.overrides, status=ExitCode.INVALID_CONFIG
    )
    job, findings = check_manifest(prepared.body)
    if job is not None:
        findings = validate_job(job, "local")
    for placed in place(prepared.document, findings):
        print(placed.line(manifest.label), file=sys.stderr)
    if job is None or errors_in(findings):
        raise CommandError("nothing is started: fix the errors first", ExitCode.INVALID_CONFIG)
    return job, manifest


def _volume(text: str) -> tuple[str, Path]:
    name, equals, directory = text.partition("=")
    if not (name and equals and directory):
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME=DIRECTORY")
    return name, Path(directory)
