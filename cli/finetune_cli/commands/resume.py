"""Continue suspended jobs from their newest checkpoint.

exit status: 0 done, 1 there is no such job or the API server refused, 2 usage error
"""

import argparse

from finetune_cli.cluster.change import change_jobs, configure_change


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune resume`."""
    configure_change(parser, "the job is no longer suspended")


def run(arguments: argparse.Namespace) -> int:
    """Change the spec, and wait if asked to."""
    return change_jobs(arguments, {"suspend": False}, "resumed", {"Running"})
