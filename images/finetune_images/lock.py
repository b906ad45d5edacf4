"""One run at a time: two would build the same thing twice, and one might clear away what the other needs."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from finetune_images import paths
from onenode.progress import say


@contextmanager
def exclusive() -> Iterator[None]:
    """Waits until no other run is at work, and keeps others waiting."""
    paths.IMAGES.mkdir(parents=True, exist_ok=True)
    with paths.LOCK.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("  another run is at work; waiting for it …")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
