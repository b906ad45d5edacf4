"""The way from rank 0 to one tracker: a bounded queue, two threads, and the tracker's process at the end.

Nothing here makes the training wait: `offer` appends to a queue, and drops its oldest row where it is full.
`close` waits, as long as it is told to and no longer.
"""

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Final

from pydantic import ValidationError

from finetune_trainer.tracking.messages import Finish, Reply, Row, Start, Upload
from finetune_trainer.tracking.process import one_line

log = logging.getLogger(__name__)

CAPACITY: Final = 2000
"""Rows that wait for a slow tracker; 300 bytes each."""

JOIN_SECONDS: Final = 1.0
"""For two threads to see that the process is gone."""

STDERR_BYTES: Final = 2000
"""What is looked at of a dead process' last words."""


@dataclass
class Tally:
    """What became of what a tracker was given."""

    rows: int = 0
    kept: int = 0
    started: bool = False
    finished: bool = False
    uploads: int = 0
    uploaded: int = 0
    given_up: int = 0
    """Uploads that failed, or that a newer checkpoint took the place of."""
    error: str = ""
    """The first thing that went wrong."""

    @property
    def lost(self) -> int:
        """Rows that the tracker has not taken."""
        return self.rows - self.kept

    @property
    def uploading(self) -> bool:
        """Whether a checkpoint is on its way."""
        return self.uploads > self.uploaded + self.given_up


class Feed:
    """One tracker's queue and process."""

    def __init__(
        self,
        tracker: str,
        start: Start,
        *,
        trouble: Callable[[str], None],
        environment: Mapping[str, str] = os.environ,
        command: Sequence[str] | None = None,
        capacity: int = CAPACITY,
    ) -> None:
        """`trouble` is called once, from a thread, with the first thing that goes wrong."""
        self.tracker = tracker
        self.tally = Tally()
        self._trouble = trouble
        self._capacity = capacity
        self._environment = dict(environment)
        self._waiting: deque[Start | Row | Upload | Finish] = deque([start])
        self._changed = threading.Condition()
        self._over = False
        self._last_words = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            command or [sys.executable, "-m", "finetune_trainer.tracking.process", tracker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._last_words,
            env=self._environment,
            start_new_session=True,
        )
        self._threads = [
            threading.Thread(target=work, name=f"{tracker} {work.__name__}", daemon=True)
            for work in (self._send, self._listen)
        ]
        for thread in self._threads:
            thread.start()

    def offer(self, message: Row | Upload) -> None:
        """Queues a message; returns at once."""
        with self._changed:
            if self._over:
                self._count(message)
                _discard(message)
                return
            self._count(message)
            if isinstance(message, Upload):
                # a checkpoint that has not been sent yet is out of date
                self._drop(next((old for old in self._waiting if isinstance(old, Upload)), None))
            elif len(self._waiting) >= self._capacity:
                self._drop(next((old for old in self._waiting if isinstance(old, Row)), None))
            self._waiting.append(message)
            self._changed.notify_all()

    def conclude(self, finish: Finish) -> None:
        """Queues the last message; returns at once."""
        with self._changed:
            self._waiting.append(finish)
            self._changed.notify_all()

    def wait_for_uploads(self, seconds: float) -> None:
        """Returns when no checkpoint is on its way any more, or nothing more can come of it, or after so many
        seconds."""
        with self._changed:
            self._changed.wait_for(
                lambda: not self.tally.uploading or self._is_done(), timeout=max(0.0, seconds)
            )

    def close(self, seconds: float) -> Tally:
        """Lets the tracker finish for so many seconds, then ends it; returns what has become of all.

        One that could not be reached so far is not waited for.
        """
        with self._changed:
            self._changed.wait_for(self._is_done, timeout=seconds)
            done = self._is_done()
        if not done:
            self._fail(f"not done {seconds:.0f} s after the end of the run")
        self._end()
        return self.tally

    def _is_done(self) -> bool:
        unreachable = bool(self.tally.error) and not self.tally.started
        return self.tally.finished or self._over or unreachable

    def _end(self) -> None:
        """Ends the process and all that it has started."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
            for message in self._waiting:
                _discard(message)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)
        self._last_words.close()

    def _count(self, message: Row | Upload) -> None:
        if isinstance(message, Row):
            self.tally.rows += 1
        else:
            self.tally.uploads += 1

    def _drop(self, message: Start | Row | Upload | Finish | None) -> None:
        if message is not None:
            self._waiting.remove(message)
            _discard(message)
            self.tally.given_up += isinstance(message, Upload)

    def _send(self) -> None:
        pipe = _opened(self._process.stdin)
        with contextlib.suppress(OSError):
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._waiting or self._over)
                    if self._over:
                        break
                    message = self._waiting.popleft()
                pipe.write(message.model_dump_json().encode() + b"\n")
                pipe.flush()
        with contextlib.suppress(OSError):
            pipe.close()

    def _listen(self) -> None:
        with _opened(self._process.stdout) as pipe:
            for line in pipe:
                try:
                    reply = Reply.model_validate_json(line)
                except ValidationError:
                    continue
                self._take(reply)
        self._process.wait()
        with self._changed:
            expected = self._over or self.tally.finished
            self._over = True
            self._changed.notify_all()
        if not expected:
            self._fail(f"its process ended with status {self._process.returncode}{self._shown_last_words()}")

    def _take(self, reply: Reply) -> None:
        if reply.error is not None:
            self._fail(reply.error)
        with self._changed:
            good = reply.error is None
            match reply.kind:
                case "start":
                    self.tally.started = good
                case "row":
                    self.tally.kept += good
                case "upload":
                    self.tally.uploaded += good
                    self.tally.given_up += not good
                case "finish":
                    self.tally.finished = True
            self._changed.notify_all()

    def _fail(self, error: str) -> None:
        with self._changed:
            first, self.tally.error = not self.tally.error, self.tally.error or error
        if first:
            self._trouble(error)

    def _shown_last_words(self) -> str:
        size = self._last_words.seek(0, os.SEEK_END)
        self._last_words.seek(max(0, size - STDERR_BYTES))
        lines = self._last_words.read().decode(errors="replace").strip().splitlines()
        return f": {one_line(lines[-1], self._environment)}" if lines else ""


def _opened(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise AssertionError("the process was started with pipes")
    return pipe


def _discard(message: Start | Row | Upload | Finish) -> None:
    if isinstance(message, Upload):
        shutil.rmtree(message.directory, ignore_errors=True)
