"""Starting, watching and stopping long-running programs, each with a log file of its own."""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class DaemonError(Exception):
    """A program ended early or did not become ready in time; the message holds the end of its log."""


@dataclass(frozen=True)
class Daemon:
    """A program to run: its name in messages, and its command line. Its log is `<name>.log`."""

    name: str
    command: tuple[str, ...]


class Running:
    """A started daemon of this process's own."""

    def __init__(self, daemon: Daemon, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.daemon = daemon
        self.log = log
        self._process = process

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def require_alive(self) -> None:
        """Raises DaemonError, with the end of the log, if the program has ended."""
        if self.ended:
            raise DaemonError(
                f"{self.daemon.name} ended with status {self._process.returncode}:\n{tail(self.log)}"
            )

    def kill(self) -> None:
        """Ends the program at once and waits until it is gone."""
        if not self.ended:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()


def spawn(
    daemon: Daemon, logs: Path, *, prefix: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Running:
    """Starts a daemon in a session of its own, so that a Ctrl-C on the terminal does not reach it.

    `prefix` is put before its command, for a wrapper such as `nsenter`.
    """
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{daemon.name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*prefix, *daemon.command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    return Running(daemon, process, log)


def wait_until(
    condition: Callable[[], bool],
    what: str,
    *,
    seconds: float,
    alive: Sequence[Running] = (),
    every: float = 0.1,
) -> None:
    """Waits for a condition, as long as the daemons it depends on live.

    Raises:
        DaemonError: one of `alive` ended, or the condition did not come true within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        for running in alive:
            running.require_alive()
        if time.monotonic() > deadline:
            logs = "".join(f"\n--- {running.daemon.name}\n{tail(running.log, 1000)}" for running in alive)
            raise DaemonError(f"{what} did not happen within {seconds:.0f} s{logs}")
        time.sleep(every)


def tail(log: Path, characters: int = 3000) -> str:
    """The end of a log file, or a remark that there is none."""
    try:
        return log.read_text(errors="replace")[-characters:]
    except FileNotFoundError:
        return "(no log)"
