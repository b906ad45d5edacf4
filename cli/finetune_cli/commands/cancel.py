"""End jobs for good, and keep them and what they have saved.

The pods' time is declared to be over (failurePolicy.activeDeadlineSeconds: 1): the ranks save a checkpoint,
and the job ends as Failed with reason DeadlineExceeded. A job with the same settings and storage goes on from
there. A job none of whose pods has run for a second ends as soon as one has; `finetune delete` ends it now.

exit status: 0 done, 1 there is no such job or the API server refused, 2 wrong use
"""

import argparse

from finetune_cli.cluster.change import change_jobs, configure_change


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune cancel`."""
    configure_change(parser, "the job has ended")


def run(arguments: argparse.Namespace) -> int:
    """Change the spec, and wait if asked to."""
    return change_jobs(
        arguments, {"failurePolicy": {"activeDeadlineSeconds": 1}}, "cancelled", {"Succeeded", "Failed"}
    )
