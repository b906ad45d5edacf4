"""What the verbs for a cluster share: their arguments, and how a refusal becomes an exit status."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from finetune_cli.argument_types import duration, job_name, object_name
from finetune_cli.cluster.client import Cluster, Refusal, connect
from finetune_cli.errors import INVALID, CommandError

DEFAULT_TIMEOUT_SECONDS: Final = 24 * 3600


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which cluster and namespace is meant."""
    parser.add_argument(
        "-n", "--namespace", type=object_name, help="namespace; the context's own when absent"
    )
    parser.add_argument("--context", help="context of the kubeconfig file")
    parser.add_argument("--kubeconfig", metavar="FILE", help="kubeconfig file; KUBECONFIG when absent")


def add_names(parser: argparse.ArgumentParser) -> None:
    """Add the names of jobs."""
    parser.add_argument(
        "names",
        nargs="+",
        type=job_name,
        metavar="NAME",
        help="name of a job, also as `-o name` prints it",
    )


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """Add `--dry-run`."""
    parser.add_argument(
        "--dry-run",
        choices=("none", "client", "server"),
        default="none",
        help="client: say what would be sent. server: let the API server check it, and change nothing",
    )


def dry_run_note(arguments: argparse.Namespace) -> str:
    """Return what a line about a change ends with: nothing where it was really made."""
    return "" if arguments.dry_run == "none" else f" (dry run: {arguments.dry_run})"


def add_wait(parser: argparse.ArgumentParser, until: str) -> None:
    """Add `--wait` and `--timeout`."""
    parser.add_argument("--wait", action="store_true", help=f"wait until {until}")
    add_timeout(parser)


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """Add `--timeout`."""
    parser.add_argument(
        "--timeout",
        type=duration,
        default=DEFAULT_TIMEOUT_SECONDS,
        metavar="TIME",
        help="end with status 1 when it takes longer: seconds, or 90s, 5m, 1h30m (default: a day)",
    )


def add_output(parser: argparse.ArgumentParser, default: str = "table") -> None:
    """Add `-o`."""
    parser.add_argument(
        "-o", "--output", choices=("table", "wide", "name", "json", "yaml"), default=default, help="form"
    )


@contextmanager
def cluster_of(arguments: argparse.Namespace) -> Iterator[Cluster]:
    """Connect; an answer of the API server that is a refusal ends the command with status 1."""
    try:
        yield connect(arguments.kubeconfig, arguments.context, arguments.namespace)
    except Refusal as refusal:
        raise CommandError(refusal.message, INVALID) from None
