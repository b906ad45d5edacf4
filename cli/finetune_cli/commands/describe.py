"""Describe a job: its conditions, attempts, checkpoints, and events.

exit status: 0 described, 1 there is no such job, 2 usage error
"""

import argparse

from finetune_cli.cluster.verb import add_cluster, add_names, cluster_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune describe`."""
    add_names(parser)
    add_cluster(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the description."""
    from finetune_api.printable import printable
    from finetune_cli.cluster.description import describe

    with cluster_of(arguments) as cluster:
        for index, name in enumerate(arguments.names):
            job = cluster.get(name)
            print("\n" * bool(index), end="")
            print("\n".join(map(printable, describe(job, cluster.events(job["metadata"]["uid"])))))
    return 0
