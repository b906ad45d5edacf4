"""End jobs for good, keeping them and what they have saved.

The ranks save a checkpoint and end, and no attempt follows (spec.cancel). This can't be undone, but a new job
with the same settings and storage continues from the checkpoint. `finetune suspend` is for a pause.

exit status: 0 done, 1 there is no such job or the API server refused, 2 usage error
"""

import argparse

from finetune_cli.cluster.change import change_jobs, configure_change


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune cancel`."""
    configure_change(parser, "the job has ended")


def run(arguments: argparse.Namespace) -> int:
    """Change the spec, and wait if asked to."""
    return change_jobs(arguments, {"cancel": True}, "cancelled", set())
