"""Show jobs by name.

exit status: 0 shown, 1 there is no such job, 2 usage error
"""

import argparse

from finetune_cli.cluster.verb import add_cluster, add_names, add_output, cluster_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune get`."""
    add_names(parser)
    add_cluster(parser)
    add_output(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the jobs."""
    from finetune_cli.cluster.output import as_list, name_of, print_object, table_lines

    with cluster_of(arguments) as cluster:
        if arguments.output in ("table", "wide"):
            tables = [cluster.table(name) for name in arguments.names]
            whole = tables[0] | {"rows": [row for table in tables for row in table["rows"]]}
            print("\n".join(table_lines(whole, wide=arguments.output == "wide")))
            return 0
        jobs = [cluster.get(name) for name in arguments.names]
    if arguments.output == "name":
        for job in jobs:
            print(name_of(job))
    else:
        print_object(as_list(jobs), arguments.output)
    return 0
