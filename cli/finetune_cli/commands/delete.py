"""Delete jobs. Their pods save a checkpoint and end; what is on their volumes stays.

exit status: 0 deleted, 1 there is no such job or the API server refused, 2 usage error
"""

import argparse
from http import HTTPStatus
from typing import TYPE_CHECKING

from finetune_cli.cluster.verb import add_cluster, add_dry_run, add_names, add_wait, cluster_of, dry_run_note
from finetune_cli.errors import INVALID, CommandError

if TYPE_CHECKING:
    from finetune_cli.cluster.client import Cluster


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune delete`."""
    add_names(parser)
    add_cluster(parser)
    add_dry_run(parser)
    add_wait(parser, "the job and its pods are gone")


def run(arguments: argparse.Namespace) -> int:
    """Delete, and wait if asked to."""
    with cluster_of(arguments) as cluster:
        for name in arguments.names:
            if arguments.dry_run == "client":
                cluster.get(name)
            else:
                cluster.delete(name, dry_run=arguments.dry_run == "server")
            print(f"finetunejob.finetune.dev/{name} deleted{dry_run_note(arguments)}")
            if arguments.wait and arguments.dry_run == "none":
                _await_end(cluster, name, arguments.timeout)
    return 0


def _await_end(cluster: "Cluster", name: str, timeout: float) -> None:
    import time

    from finetune_cli.cluster.client import Refusal
    from finetune_cli.cluster.follow import wait_until

    deadline = time.monotonic() + timeout
    try:
        wait_until(cluster, name, lambda _: False, timeout)
    except Refusal as refusal:
        if refusal.status != HTTPStatus.NOT_FOUND:
            raise
    while cluster.pods(name, None):
        if time.monotonic() > deadline:
            raise CommandError(f"{name}: its pods are not gone after {timeout:g} s", INVALID)
        time.sleep(1)
