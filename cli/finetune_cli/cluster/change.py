"""Change one field of jobs that are on the cluster: suspend, resume, cancel."""

import argparse
from collections.abc import Mapping, Set
from typing import Any

from finetune_cli.cluster.verb import add_cluster, add_dry_run, add_names, add_wait, cluster_of, dry_run_note


def configure_change(parser: argparse.ArgumentParser, until: str) -> None:
    """Add the arguments; `until` says what `--wait` waits for."""
    add_names(parser)
    add_cluster(parser)
    add_dry_run(parser)
    add_wait(parser, until)


def change_jobs(arguments: argparse.Namespace, spec: Mapping[str, Any], done: str, phases: Set[str]) -> int:
    """Merge `spec` into each job's spec; with `--wait`, wait for one of the phases, or for the job's end."""
    from finetune_cli.cluster.follow import is_finished, phase, wait_until

    with cluster_of(arguments) as cluster:
        for name in arguments.names:
            if arguments.dry_run == "client":
                cluster.get(name)
            else:
                cluster.patch(name, spec, dry_run=arguments.dry_run == "server")
            print(f"finetunejob.finetune.dev/{name} {done}{dry_run_note(arguments)}")
        if arguments.wait and arguments.dry_run == "none":
            for name in arguments.names:
                wait_until(
                    cluster, name, lambda job: phase(job) in phases or is_finished(job), arguments.timeout
                )
    return 0
