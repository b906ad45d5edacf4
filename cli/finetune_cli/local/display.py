"""What a person sees while a job runs: a bar on a terminal, a line per change elsewhere."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol, TextIO

from finetune_api import FineTuneJobStatus
from finetune_operator.plan import Event, EventType

BAR_WIDTH: Final = 24
PLAIN_INTERVAL_SECONDS: Final = 5.0
"""Without a terminal, mere progress is printed no more often than this."""

_BOLD, _RED, _DIM, _RESET = "\x1b[1m", "\x1b[31m", "\x1b[2m", "\x1b[0m"
_CLEAR_LINE = "\r\x1b[2K"


class Display(Protocol):
    """Shows the status as it changes, and the events between."""

    def show(self, status: FineTuneJobStatus) -> None:
        """Show the newest status."""

    def tell(self, events: Iterable[Event]) -> None:
        """Print what has happened."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def display_for(stream: TextIO) -> Display:
    """Return a bar for a terminal, plain lines for anything else (a file, a pipe, a dumb terminal)."""
    terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
    return BarDisplay(stream, colour="NO_COLOR" not in os.environ) if terminal else PlainDisplay(stream)


def describe(status: FineTuneJobStatus) -> str:
    """Return it in one line: `training  step 120/225 (53%)  loss 1.23  tokens/s 8,012  0:45 left`."""
    progress = status.progress
    words = [str(progress.activity if progress and progress.activity else status.phase or "Pending")]
    if progress is not None:
        if progress.total_steps:
            words.append(f"step {progress.step}/{progress.total_steps} ({progress.percent}%)")
        words += [
            f"{label} {shorten(status.metrics[name])}"
            for name, label in (("loss", "loss"), ("evalLoss", "eval loss"), ("tokensPerSecond", "tokens/s"))
            if name in status.metrics
        ]
        if progress.remaining_seconds is not None and progress.activity == "training":
            words.append(f"{clock(progress.remaining_seconds)} left")
    return "  ".join(words)


def shorten(number: str) -> str:
    """Return a decimal with as many digits as a person reads: 1.2346, 8012."""
    value = float(number)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def clock(seconds: int) -> str:
    """Return a duration as 0:45, 12:05 or 1:02:03."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@dataclass
class News:
    """Which descriptions of a status are worth a line: a new phase or activity at once, mere progress now and
    then."""

    _said: str = ""
    _said_at: float = float("-inf")
    _kind: tuple[object, object] | None = None

    def is_due(self, status: FineTuneJobStatus, line: str) -> bool:
        """Whether to print `line` about `status` now; if so, it counts as printed."""
        kind = (status.phase, status.progress.activity if status.progress else None)
        overdue = time.monotonic() - self._said_at >= PLAIN_INTERVAL_SECONDS
        # A phase and an activity may have one name: Starting, starting.
        if line.lower() == self._said.lower() or (kind == self._kind and not overdue):
            return False
        self._said, self._said_at, self._kind = line, time.monotonic(), kind
        return True


@dataclass
class PlainDisplay:
    """Lines only: for log files and for programs."""

    stream: TextIO
    _news: News = field(default_factory=News, init=False)

    def show(self, status: FineTuneJobStatus) -> None:
        """Print a line when phase or activity changed, or when some time has passed."""
        line = describe(status)
        if self._news.is_due(status, line):
            print(line, file=self.stream, flush=True)

    def tell(self, events: Iterable[Event]) -> None:
        """Print one line per event."""
        for event in events:
            print(f"{event.reason}: {event.message}", file=self.stream, flush=True)

    def close(self) -> None:
        """Nothing to restore."""


@dataclass
class BarDisplay:
    """One line that is drawn anew, below the events."""

    stream: TextIO
    colour: bool
    _line: str = field(default="", init=False)

    def show(self, status: FineTuneJobStatus) -> None:
        """Draw the bar."""
        percent = status.progress.percent if status.progress else 0
        filled = BAR_WIDTH * percent // 100
        self._line = f"[{'█' * filled}{'·' * (BAR_WIDTH - filled)}] {describe(status)}"
        self._draw()

    def tell(self, events: Iterable[Event]) -> None:
        """Print events above the bar."""
        for event in events:
            style = _RED if event.type is EventType.WARNING else _DIM
            self.stream.write(f"{_CLEAR_LINE}{self._styled(style, f'{event.reason}: {event.message}')}\n")
        self._draw()

    def close(self) -> None:
        """Keep the last state of the bar, and go to the next line."""
        if self._line:
            self.stream.write("\n")
            self.stream.flush()

    def _draw(self) -> None:
        width = max(20, _columns(self.stream) - 1)
        self.stream.write(f"{_CLEAR_LINE}{self._styled(_BOLD, self._line[:width])}")
        self.stream.flush()

    def _styled(self, style: str, text: str) -> str:
        return f"{style}{text}{_RESET}" if self.colour else text


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except OSError:
        return 80
