"""Two trainers on one machine: each in a process of its own, and only one of them runs at a time."""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

WARM_UP_STEPS = 3

PROCESSES = get_context("forkserver")
"""Imports everything once, for all trainers: none of them is timed, and all hold the same libraries."""
PROCESSES.set_forkserver_preload(
    ["torch", "transformers", "peft", "datasets", "trl", "finetune_trainer.rank"]
)


@dataclass(frozen=True)
class Lap:
    """A block of steps."""

    seconds: float
    tokens: int


@dataclass(frozen=True)
class Summary:
    """What a trainer leaves: its losses from the first step on, and its peak resident memory."""

    losses: list[float]
    peak_bytes: int


class Turns:
    """A trainer's side. It calls `step_done` after each optimizer step, where it waits for its turn."""

    def __init__(
        self, parent: Connection, rounds: int, steps: int, losses: Callable[[], list[float]]
    ) -> None:
        self.parent, self.rounds, self.steps, self.losses = parent, rounds, steps, losses
        self.done = 0
        self.started = 0.0
        self.tokens_in: Callable[[int], int] = lambda _step: 0

    @property
    def last_step(self) -> int:
        """Steps of the whole run."""
        return WARM_UP_STEPS + self.rounds * self.steps

    def step_done(self) -> None:
        """Ends the process after the last block."""
        self.done += 1
        behind = self.done - WARM_UP_STEPS
        if behind < 0 or behind % self.steps:
            return
        if behind == 0:
            self.parent.send("ready")
        else:
            seconds = time.perf_counter() - self.started
            tokens = sum(self.tokens_in(step) for step in range(self.done - self.steps, self.done))
            self.parent.send(Lap(seconds, tokens))
        if self.done == self.last_step:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            self.parent.send(Summary(self.losses(), peak))
            raise SystemExit
        self.parent.recv()
        self.started = time.perf_counter()


class Contestant:
    """The other side of a `Turns`."""

    def __init__(self, name: str, main: Callable[..., None], *arguments: Any) -> None:
        self.name = name
        self.laps: list[Lap] = []
        self._pipe, theirs = PROCESSES.Pipe()
        self._process = PROCESSES.Process(target=main, args=(theirs, *arguments))
        self._process.start()
        theirs.close()

    def warm_up(self) -> None:
        """Waits until it has done its first steps."""
        if self._pipe.recv() != "ready":
            raise AssertionError(f"{self.name} did not start")

    def lap(self) -> None:
        """Lets it run one block."""
        self._pipe.send("go")
        self.laps.append(self._pipe.recv())

    def summary(self) -> Summary:
        """After the last lap."""
        left: Summary = self._pipe.recv()
        self._process.join()
        return left


def race(contestants: list[Contestant], rounds: int) -> None:
    """Every contestant runs a block in each round; who begins changes from round to round."""
    for contestant in contestants:
        contestant.warm_up()
    for number in range(rounds):
        turn = number % len(contestants)
        for contestant in contestants[turn:] + contestants[:turn]:
            contestant.lap()
