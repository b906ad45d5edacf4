"""Tells a waiting person what is being done and how long it took, on standard error."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def say(message: str) -> None:
    """Prints one line."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Announces a piece of work, and its duration in seconds once it is done."""
    say(f"  {what} …")
    started = time.monotonic()
    yield
    say(f"  {what}: {time.monotonic() - started:.1f} s")
