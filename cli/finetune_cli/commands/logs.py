"""Print the logs of a job's pods; where there are several, each line begins with its pod.

A file or a pipe gets the bytes unchanged. A terminal gets text and colours (none with NO_COLOR), no other
escapes, and only the last state of a progress bar.

exit status: 0 printed, 1 there is no such job or pod, 2 usage error
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from finetune_cli.argument_types import count, job_name
from finetune_cli.cluster.verb import add_cluster, cluster_of
from finetune_cli.errors import INVALID, CommandError
from finetune_cli.terminal import log_line

if TYPE_CHECKING:
    from finetune_cli.cluster.client import Cluster


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune logs`."""
    parser.add_argument(
        "name", type=job_name, metavar="NAME", help="name of a job, also as `-o name` prints it"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="keep printing as the pods write")
    parser.add_argument("--tail", type=count, metavar="LINES", help="only the last lines of each pod")
    parser.add_argument("--attempt", type=count, metavar="N", help="which attempt; the newest when absent")
    add_cluster(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the lines."""
    with cluster_of(arguments) as cluster:
        attempt = arguments.attempt or cluster.get(arguments.name).get("status", {}).get("attempt")
        pods = sorted(pod["metadata"]["name"] for pod in cluster.pods(arguments.name, attempt))
        if not pods:
            raise CommandError(
                f"{arguments.name} has no pods{f' of attempt {attempt}' if attempt else ''}", INVALID
            )
        for line in lines(cluster, pods, follow=arguments.follow, tail=arguments.tail):
            _put(line)
            if arguments.follow:
                sys.stdout.flush()
    return 0


def _put(line: str) -> None:
    if sys.stdout.isatty():
        print(log_line(line, colours="NO_COLOR" not in os.environ))
    else:
        sys.stdout.buffer.write(f"{line}\n".encode(errors="surrogateescape"))


def lines(cluster: "Cluster", pods: Sequence[str], *, follow: bool, tail: int | None) -> Iterator[str]:
    """Yield the lines of all pods: one after the other, or, followed, as they come.

    What is no UTF-8 in them is kept as Python keeps it in file names (`surrogateescape`).
    """
    if len(pods) == 1:
        yield from cluster.logs(pods[0], follow=follow, tail=tail)
    elif not follow:
        for pod in pods:
            yield from (f"{pod}: {line}" for line in cluster.logs(pod, follow=False, tail=tail))
    else:
        yield from _merged(cluster, pods, tail)


def _merged(cluster: "Cluster", pods: Sequence[str], tail: int | None) -> Iterator[str]:
    from queue import SimpleQueue
    from threading import Thread

    queue: SimpleQueue[Any] = SimpleQueue()

    def read(pod: str) -> None:
        try:
            for line in cluster.logs(pod, follow=True, tail=tail):
                queue.put(f"{pod}: {line}")
        except Exception as error:  # noqa: BLE001 - a thread has nobody to tell: the reader of the queue raises it
            queue.put(error)
        else:
            queue.put(None)

    for pod in pods:
        Thread(target=read, args=(pod,), daemon=True).start()
    running = len(pods)
    while running:
        line = queue.get()
        if isinstance(line, Exception):
            raise line
        if line is None:
            running -= 1
        else:
            yield line
