"""Pause jobs: the ranks save a checkpoint and end; `finetune resume` continues from there.

exit status: 0 done, 1 there is no such job or the API server refused, 2 usage error
"""

import argparse

from finetune_cli.cluster.change import change_jobs, configure_change


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune suspend`."""
    configure_change(parser, "the pods are gone")


def run(arguments: argparse.Namespace) -> int:
    """Change the spec, and wait if asked to."""
    return change_jobs(arguments, {"suspend": True}, "suspended", {"Suspended"})
