"""Committing a checkpoint beside the training: no step waits for hashes and disks."""

import threading
from collections.abc import Callable
from typing import Self

from finetune_trainer.errors import StorageError


class Commits:
    """At most one commit at a time, on a thread of its own. One that failed is told once, by `finish`."""

    def __init__(self) -> None:
        self.thread: threading.Thread | None = None
        self._failure: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Waits for the commit that goes on. Raises its error, where nothing else is raised already."""
        failure = self.finish()
        if failure is not None and kind is None:
            raise failure

    def begin(self, commit: Callable[[], object]) -> None:
        """Starts a commit. The one before must have been finished."""

        def run() -> None:
            try:
                commit()
            except Exception as error:  # noqa: BLE001 - raised again by the training thread
                self._failure = error

        self.thread = threading.Thread(target=run, name="commit")
        self.thread.start()

    @property
    def has_failed(self) -> bool:
        """Whether the last commit is over and did not succeed."""
        return self._failure is not None

    def finish(self) -> StorageError | None:
        """Waits for the commit that goes on, if any; its `StorageError`. Raises what else it raised."""
        if self.thread is not None:
            self.thread.join()
            self.thread = None
        failure, self._failure = self._failure, None
        if failure is None or isinstance(failure, StorageError):
            return failure
        raise failure
