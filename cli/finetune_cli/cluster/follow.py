"""Follow a job until something is true of it."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

from finetune_cli.cluster.client import Cluster, Interrupted, Refusal
from finetune_cli.errors import INVALID, CommandError

_WATCH_SECONDS: Final = 30

ENDED: Final = frozenset({"Succeeded", "Failed", "Cancelled"})
"""Phases after which nothing more happens to a job."""

HOPELESS: Final = frozenset({"InvalidSpec", "NameConflict"})
"""Reasons of a stalled job that last until its user changes something. What other reasons wait for comes by
itself: a preset, a larger node, the end of another job."""

Job = Mapping[str, Any]


def states(cluster: Cluster, name: str, timeout: float) -> Iterator[Job | None]:
    """Yield the job now and after each change; None, and no more, once it is deleted.

    Raises `CommandError` after `timeout` seconds, and `Refusal` for a job that was never there.
    """
    deadline = time.monotonic() + timeout
    job = cluster.get(name)
    yield job
    while True:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise CommandError(f"{name}: not done after {timeout:g} s", INVALID)
        seconds = max(1, min(_WATCH_SECONDS, int(remaining)))
        # A connection that breaks off is no end of the watch: what was missed is read below.
        with suppress(Interrupted):
            for event in cluster.watch(name, job["metadata"]["resourceVersion"], seconds):
                if event["type"] == "DELETED":
                    yield None
                    return
                if event["type"] == "ERROR":
                    break
                if event["type"] != "BOOKMARK":
                    job = event["object"]
                    yield job
        try:
            newest = cluster.get(name)
        except Refusal as refusal:
            if refusal.status != HTTPStatus.NOT_FOUND:
                raise
            yield None
            return
        if newest["metadata"]["resourceVersion"] != job["metadata"]["resourceVersion"]:
            job = newest
            yield job


def wait_until(
    cluster: Cluster,
    name: str,
    done: Callable[[Job], bool],
    timeout: float,
    show: Callable[[Job], None] = lambda _: None,
) -> Job | None:
    """Return the job once `done` is true of it, or None when it is gone; `show` sees each state of it."""
    for job in states(cluster, name, timeout):
        if job is None:
            return None
        show(job)
        if done(job):
            return job
    return None


def phase(job: Job) -> str:
    """Return the job's phase, of a status that is about the spec as it is now; else an empty string."""
    status = job.get("status", {})
    current = status.get("observedGeneration") == job["metadata"].get("generation")
    return str(status.get("phase") or "") if current else ""


def is_finished(job: Job) -> bool:
    """Whether the job has ended for good, or waits for its user alone."""
    return phase(job) in ENDED or what_stalls(job) is not None


def what_stalls(job: Job) -> str | None:
    """Return why the job is stalled, where only its user can mend that; None for any other."""
    if phase(job) != "Stalled":
        return None
    conditions = job["status"].get("conditions")
    for condition in conditions if isinstance(conditions, list) else ():
        if condition.get("type") == "Stalled" and condition.get("status") == "True":
            reason, message = condition.get("reason"), condition.get("message")
            return f"{reason}: {message}" if reason in HOPELESS else None
    return None
