"""List the jobs of a namespace.

exit status: 0 listed, 1 the API server refused, 2 usage error
"""

import argparse

from finetune_cli.cluster.verb import add_cluster, add_output, cluster_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune list`."""
    add_cluster(parser)
    add_output(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the jobs."""
    from finetune_cli.cluster.output import name_of, print_object, table_lines

    with cluster_of(arguments) as cluster:
        if arguments.output in ("table", "wide"):
            table = cluster.table()
            if not table["rows"]:
                print(f"no jobs in namespace {cluster.namespace}")
                return 0
            print("\n".join(table_lines(table, wide=arguments.output == "wide")))
            return 0
        jobs = cluster.list_jobs()
    if arguments.output == "name":
        for job in jobs["items"]:
            print(name_of(job))
    else:
        print_object(jobs, arguments.output)
    return 0
