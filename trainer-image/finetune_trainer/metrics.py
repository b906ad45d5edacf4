"""`metrics.jsonl`: one line per logging interval and per evaluation, each step once, also across resumes.

`docs/metrics.md` says what each key means.
"""

import json
import math
import os
import resource
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import torch

from finetune_api.training import TrainingSpec
from finetune_trainer.files import write_atomically
from finetune_trainer.measures import MetricsTracker as MetricsTracker
from finetune_trainer.measures import compute_gradient_norm as compute_gradient_norm
from finetune_trainer.measures import get_gpu_memory_usage as get_gpu_memory_usage

Number = int | float
Line = dict[str, Number | str]

REPORTED = (
    "loss",
    "perplexity",
    "learningRate",
    "gradNorm",
    "tokensPerSecond",
    "samplesPerSecond",
    "peakMemoryBytes",
    "modelFlopsUtilization",
)
"""What of a training line the job's `status.metrics` shows."""

MEASURED = frozenset(
    [
        "rewardChosen",
        "rewardRejected",
        "rewardMargin",
        "rewardAccuracy",
        "logProbabilityChosen",
        "logProbabilityRejected",
        "kl",
        "reward",
        "rewardDeviation",
        "clipShare",
        "valueLoss",
        "answerTokens",
        "endedShare",
    ]
)
"""What stages measure beside their loss, on training and on evaluation lines."""

LARGEST_EXPONENT = 700.0


def is_logged(training: TrainingSpec, step: int, last_step: int) -> bool:
    """Whether a step ends a window."""
    first = step == 1 and training.logging_first_step
    return first or step % training.logging_steps == 0 or step >= last_step


def perplexity(loss: float) -> float:
    """e to the loss (in nats per token); e⁷⁰⁰ where it would be larger than a float can be."""
    return math.exp(min(loss, LARGEST_EXPONENT))


compute_perplexity = perplexity
"""Its name in the Python API."""


def measured_in(logs: Mapping[str, float], prefix: str = "") -> dict[str, float]:
    """What a stage measured, among the figures of a step or, with their prefix, of an evaluation."""
    return {name: logs[f"{prefix}{name}"] for name in sorted(MEASURED) if f"{prefix}{name}" in logs}


@dataclass
class Window:
    """What has been measured since the last line. `losses` travels with a checkpoint; time does not."""

    losses: list[float] = field(default_factory=list)
    measured: list[dict[str, float]] = field(default_factory=list)
    """What the stage measured in each step; travels with a checkpoint too."""
    tokens: int = 0
    samples: int = 0
    seconds: float = 0.0

    def add(self, loss: float, *, tokens: int, samples: int, seconds: float) -> None:
        """Takes in one optimizer step."""
        self.losses.append(loss)
        self.tokens += tokens
        self.samples += samples
        self.seconds += seconds

    def close(self) -> tuple[float, float, float]:
        """Mean loss, tokens per second and samples per second; begins anew."""
        loss = math.fsum(self.losses) / len(self.losses)
        seconds = max(self.seconds, 1e-9)
        rates = self.tokens / seconds, self.samples / seconds
        self.losses, self.tokens, self.samples, self.seconds = [], 0, 0, 0.0
        return loss, *rates

    def close_measured(self) -> dict[str, float]:
        """Of what the stage measured, the mean over the steps that have it; begins anew."""
        steps, self.measured = self.measured, []
        names = dict.fromkeys(name for step in steps for name in step)
        found = {name: [step[name] for step in steps if name in step] for name in names}
        return {name: math.fsum(values) / len(values) for name, values in found.items()}


class MetricsFile:
    """The file, written by rank 0 alone."""

    def __init__(self, run_directory: Path) -> None:
        self.path = run_directory / "metrics.jsonl"

    def begin(self, step: int) -> Line:
        """Drops lines behind the step that the run goes on from (they will be written again), and torn or
        damaged ones. Returns the newest value of everything that is left."""
        if not self.path.exists():
            return {}
        text = self.path.read_text(encoding="utf-8", errors="replace")
        kept = [line for line in text.split("\n") if _step(line) <= step]
        write_atomically(self.path, "".join(f"{line}\n" for line in kept))
        newest: Line = {}
        for line in kept:
            newest |= json.loads(line)
        return newest

    def set_aside(self, checkpoints: Path) -> None:
        """Puts the curve of a run whose checkpoints were put aside beside them. Raises `OSError`."""
        if self.path.exists():
            self.path.rename(
                self.path.with_name(checkpoints.name.replace("checkpoints", "metrics") + ".jsonl")
            )

    def append(self, line: Line) -> None:
        """Adds a line. Raises `OSError`."""
        stamped = line | {"time": datetime.now(UTC).isoformat(timespec="milliseconds")}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(stamped, allow_nan=False) + "\n")

    def sync(self) -> None:
        """Makes the lines so far durable, where there are any. A disk that fails here fails the checkpoint
        that follows, too, and is named there."""
        with suppress(OSError), self.path.open("rb") as file:
            os.fsync(file.fileno())


class Stopwatch:
    """Seconds of training, without those of saving and evaluating."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def lap(self) -> float:
        """Seconds since the last lap or restart."""
        now = time.monotonic()
        seconds, self._since = now - self._since, now
        return seconds

    restart = lap


def memory_bytes(device: torch.device) -> tuple[int, int]:
    """Memory in use now and at most so far: of the GPU, or the process' resident memory on CPU."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device), torch.cuda.max_memory_allocated(device)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    now = pages * os.sysconf("SC_PAGE_SIZE")
    return now, max(now, peak)


def _step(line: str) -> float:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
