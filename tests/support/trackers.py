"""Tracked runs without a training, and servers that trackers must not be held up by."""

import json
import os
import socket
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from finetune_trainer.tracking.base import Ending, TrackedRun
from finetune_trainer.tracking.feed import Feed, Tally
from finetune_trainer.tracking.messages import Finish, Row, Start, Upload

RUN_ID = "0123456789abcdef0123456789abcdef"
SECONDS = 60.0
"""Limit for one tracker to take a few rows. Alone on two cores it takes 1 to 8 seconds."""


def tracked(directory: Path, **changes: Any) -> TrackedRun:
    """A run to tell of."""
    facts: dict[str, Any] = {
        "id": RUN_ID,
        "name": "dates",
        "project": "numbers",
        "tags": ["small"],
        "directory": directory,
        "attempt": 1,
        "parameters": {"training.learningRate": 0.01, "method.type": "lora"},
    }
    return TrackedRun(**(facts | changes))


def deliver(
    tracker: str,
    run: TrackedRun,
    rows: Mapping[int, Mapping[str, float]],
    *,
    ending: Ending | None = None,
    environment: Mapping[str, str] | None = None,
    uploads: tuple[Path, ...] = (),
) -> Tally:
    """Tells a tracker, in its process, of a run from start to end; returns what it took."""
    trouble: list[str] = []
    feed = Feed(
        tracker, Start(run=run), trouble=trouble.append, environment={**os.environ, **(environment or {})}
    )
    for step, values in rows.items():
        feed.offer(Row(step=step, values=dict(values)))
    for directory in uploads:
        feed.offer(Upload(directory=directory, name=directory.name))
    feed.conclude(Finish(ending=ending or Ending(outcome="succeeded", metrics={"loss": 1.5})))
    return feed.close(SECONDS)


def trackio_rows(database: Path) -> list[tuple[int, dict[str, float]]]:
    """Steps and values in a Trackio database of one run."""
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("select step, metrics, run_name from metrics order by id").fetchall()
    assert {name for _, _, name in found} <= {f"dates-{RUN_ID[:8]}"}
    return [(step, json.loads(values)) for step, values, _ in found]


@contextmanager
def silent_server() -> Iterator[str]:
    """The address of a server that accepts every connection, reads, and never answers."""
    listener = socket.create_server(("127.0.0.1", 0))
    kept: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                kept.append(listener.accept()[0])
            except OSError:
                return

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        # wakes the thread from accept
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in kept:
            connection.close()


def dead_address() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"
