"""Follow a job until it has ended: a progress bar on a terminal, plain lines elsewhere.

A job that waits for its user alone, as one with an invalid spec does, is not followed further.

exit status: 0 trained, 1 failed, deleted, stalled, or not done within --timeout, 2 usage error
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from finetune_cli.cluster.verb import add_cluster, add_names, add_timeout, cluster_of

if TYPE_CHECKING:
    from finetune_cli.cluster.client import Cluster


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune watch`."""
    add_names(parser)
    add_cluster(parser)
    add_timeout(parser)


def run(arguments: argparse.Namespace) -> int:
    """Follow the jobs, one after the other."""
    with cluster_of(arguments) as cluster:
        return watch_all(cluster, arguments.names, arguments.timeout)


def watch_all(cluster: "Cluster", names: Sequence[str], timeout: float) -> int:
    """Return 0 if every job has ended well, else 1."""
    from contextlib import suppress

    from pydantic import ValidationError

    from finetune_api import FineTuneJobStatus
    from finetune_api.printable import printable
    from finetune_cli.cluster.follow import is_finished, phase, wait_until, what_stalls
    from finetune_cli.local.display import display_for

    ended_well = True
    for name in names:
        display = display_for(sys.stderr)

        def show(job: Mapping[str, Any], display: Any = display) -> None:
            # A later version's status may say what this one can't read; the job's end is told all the same.
            with suppress(ValidationError):
                display.show(FineTuneJobStatus.from_json_object(job.get("status", {})))

        try:
            job = wait_until(cluster, name, is_finished, timeout, show)
        finally:
            display.close()
        why = what_stalls(job) if job is not None else None
        print(f"{name}: {'deleted' if job is None else phase(job)}{printable(f', {why}') if why else ''}")
        ended_well &= job is not None and phase(job) == "Succeeded"
    return 0 if ended_well else 1
