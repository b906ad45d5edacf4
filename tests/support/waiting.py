"""Waiting for a condition, with a deadline: what tests do instead of sleeping."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(what: str, probe: Callable[[], T], seconds: float = 30.0) -> T:
    """The first truthy answer of `probe`; fails with what was awaited and the last answer."""
    begun = time.monotonic()
    while not (found := probe()):
        waited = time.monotonic() - begun
        if waited > seconds:
            raise AssertionError(f"not within {seconds:.0f} s: {what} (last answer: {found!r})")
        # often for what is quick, and ever less often for what asks a cluster
        time.sleep(min(0.3, 0.01 + waited / 20))
    return found
