"""What following a run costs: reports, metrics and guards after each step, and the commit after each save."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from trainer_bench.scenarios import Scenario
from trainer_bench.turns import PROCESSES
from trainer_bench.workload import make_job, write_records

MOST_SHARE = 0.02
MOST_COMMIT = 1.1
SCENARIO = Scenario("overhead", "log-normal", 16, sampling="groupByLength")
STEPS, SAVE_EVERY = 100, 16
"""A checkpoint after 16 steps of half a second is one in 8 seconds: far more than anybody asks for."""


@dataclass(frozen=True)
class Overhead:
    """Of a run of ours, in seconds."""

    training: float
    """All steps, without saving."""
    following: float
    """Callbacks after each step, on the training thread and on the reporter's."""
    committing: float
    """What follows transformers' own saving on the training thread, and the processor time of the thread that
    hashes, flushes and renames beside the next steps."""
    saves: tuple[float, ...]
    """transformers' own saving, each."""
    commits: tuple[float, ...]
    """What holds up the run after each of them; of the last, also what is waited for after the export."""

    @property
    def share(self) -> float:
        """Of step time."""
        return (self.following + self.committing) / self.training

    @property
    def commit(self) -> float:
        """A save with its commit, over the save alone; medians."""
        return 1 + median(self.commits) / median(self.saves)

    @property
    def last_commit(self) -> float:
        """The last save with its commit, over the save alone."""
        return 1 + self.commits[-1] / self.saves[-1]

    @property
    def holds(self) -> bool:
        """Whether all targets are met."""
        return self.share < MOST_SHARE and max(self.commit, self.last_commit) <= MOST_COMMIT

    def row(self) -> str:
        """For people."""
        return (
            f"reports, metrics and commits: {self.share:.2%} of step time (target < {MOST_SHARE:.0%}); "
            f"a save with its commit: {self.commit:.2f} of the save alone (target <= {MOST_COMMIT}), "
            f"the last one, which goes on beside the export: {self.last_commit:.2f}"
        )

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self) | {"share": self.share, "commit": self.commit, "holds": self.holds}


def measure(model: Path, work: Path) -> Overhead:
    """One run in a process of its own."""
    data = write_records(work / "train.jsonl", SCENARIO.lengths, SCENARIO.records)
    here, there = PROCESSES.Pipe()
    process = PROCESSES.Process(target=run, args=(there, model, data, work))
    process.start()
    there.close()
    left: Overhead = here.recv()
    process.kill()
    process.join()
    return left


def run(parent: Connection, model: Path, data: Path, work: Path) -> None:
    """A run of ours, with a clock around what follows each step."""
    from finetune_trainer.engines import native
    from finetune_trainer.interruption import StopRequest
    from finetune_trainer.reporting import FileSink, Reporter
    from finetune_trainer.training.callbacks import RunCallback
    from finetune_trainer.training.saves import Saves
    from finetune_trainer.training.trainer import FineTuneTrainer

    clocks: dict[str, list[float]] = defaultdict(list)

    def timed(owner: type, name: str, clock: Callable[[], float] = time.perf_counter) -> None:
        original = getattr(owner, name)

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            begun = clock()
            try:
                return original(*args, **kwargs)
            finally:
                clocks[name].append(clock() - begun)

        setattr(owner, name, wrapper)

    for name in ("on_step_end", "on_log", "on_save"):
        timed(RunCallback, name)
    timed(FineTuneTrainer, "_save_checkpoint")
    timed(Saves, "finish")
    timed(Reporter, "_send", time.thread_time)
    timed(Saves, "_commit", time.thread_time)
    begun = ended = 0.0
    train_begins, export = RunCallback.on_train_begin, native.export

    def begin(*args: Any, **kwargs: Any) -> None:
        nonlocal begun
        train_begins(*args, **kwargs)
        begun = time.perf_counter()

    def begin_export(*args: Any, **kwargs: Any) -> Any:
        nonlocal ended
        ended = time.perf_counter()
        return export(*args, **kwargs)

    def end() -> None:
        saving = sum(clocks["_save_checkpoint"]) + sum(clocks["on_save"])
        commits = [*clocks["on_save"][:-1], clocks["on_save"][-1] + clocks["finish"][-1]]
        parent.send(
            Overhead(
                training=ended - begun - saving,
                following=sum(clocks["on_step_end"]) + sum(clocks["on_log"]) + sum(clocks["_send"]),
                committing=sum(commits) + sum(clocks["_commit"]),
                saves=tuple(clocks["_save_checkpoint"]),
                commits=tuple(commits),
            )
        )
        raise SystemExit

    RunCallback.on_train_begin = begin
    native.export = begin_export
    native.end_process_group = end
    spec = SCENARIO.spec(model, data, STEPS) | {"checkpoints": {"everySteps": SAVE_EVERY}}
    native.train(make_job(spec, work), Reporter([FileSink(work / "reports.jsonl")]), StopRequest())
