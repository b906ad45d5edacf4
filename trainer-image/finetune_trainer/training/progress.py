"""What a run measures on its way: the lines of `metrics.jsonl`, the time that is left, and what a resumed run
takes up of it."""

from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import TrainerState

from finetune_api.resolved import ResolvedJob
from finetune_trainer.data.sampling import GlobalOrder
from finetune_trainer.data.training_data import TrainingData
from finetune_trainer.metrics import Line, Stopwatch, Window, measured_in, memory_bytes, perplexity
from finetune_trainer.model.utilisation import Utilisation
from finetune_trainer.training.guards import is_a_norm

SMOOTHING = 0.9
"""Weight of the past in the running mean of a step's seconds."""


@dataclass
class Progress:
    """The figures of all ranks together, counted alike on each of them."""

    job: ResolvedJob
    data: TrainingData
    order: GlobalOrder
    utilisation: Utilisation | None
    likelihood: bool
    """Whether the loss is in nats per token, so that it has a perplexity."""
    window: Window = field(default_factory=Window)
    watch: Stopwatch = field(default_factory=Stopwatch)
    tokens: int = 0
    """Of all steps so far, those of earlier attempts included."""
    resumed_tokens: int | None = None
    step_seconds: float | None = None

    def begin(self, steps: int) -> None:
        """Starts behind so many steps. Their tokens are counted anew where the checkpoint does not tell."""
        counted = (self.data.tokens_in(self.order.step(step)) for step in range(steps))
        self.tokens = sum(counted) if self.resumed_tokens is None else self.resumed_tokens
        self.watch.restart()

    def add(self, state: TrainerState, logs: dict[str, float]) -> None:
        """Takes in the step that has just been done."""
        indices = self.order.step(state.global_step - 1)
        tokens = self.data.tokens_in(indices)
        self.tokens += tokens
        seconds = self.watch.lap()
        before = seconds if self.step_seconds is None else self.step_seconds
        self.step_seconds = SMOOTHING * before + (1 - SMOOTHING) * seconds
        samples = sum(index < self.order.size for index in indices)
        self.window.add(logs["loss"], tokens=tokens, samples=samples, seconds=seconds)
        self.window.measured.append(measured_in(logs))

    def remaining_seconds(self, state: TrainerState) -> float:
        """Of training, at the pace of the last steps."""
        steps: int = state.max_steps - state.global_step
        return steps * (self.step_seconds or 0.0)

    def close_window(self, state: TrainerState, logs: dict[str, float], device: torch.device) -> Line:
        """The line of the steps since the last one (`docs/metrics.md`)."""
        measured = self.window.close_measured()
        loss, tokens_per_second, samples_per_second = self.window.close()
        memory, peak = memory_bytes(device)
        line: Line = {
            "step": state.global_step,
            "epoch": epoch_of(state),
            "loss": loss,
            "learningRate": logs["learning_rate"],
            "tokens": self.tokens,
            "tokensPerSecond": round(tokens_per_second, 1),
            "samplesPerSecond": round(samples_per_second, 3),
            "memoryBytes": memory,
            "peakMemoryBytes": peak,
            "remainingSeconds": round(self.remaining_seconds(state), 1),
            "attempt": self.job.attempt,
        }
        # a loss of smoothed labels is no likelihood; that of an evaluation has none
        smoothed = self.job.spec.training.label_smoothing > 0
        line |= measured | ({"perplexity": perplexity(loss)} if self.likelihood and not smoothed else {})
        if self.utilisation is not None:
            line["modelFlopsUtilization"] = round(self.utilisation.share(tokens_per_second), 4)
        if (gradient := logs.get("grad_norm")) is not None and is_a_norm(gradient):
            line["gradNorm"] = gradient
        return line

    def state(self) -> dict[str, Any]:
        """What travels with a checkpoint."""
        return {"losses": self.window.losses, "measured": self.window.measured, "tokens": self.tokens}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes up what a checkpoint brought along."""
        self.window.losses = state["losses"]
        self.window.measured = state.get("measured", [])
        self.resumed_tokens = state.get("tokens")


def epoch_of(state: TrainerState) -> float:
    """Passes over the data, to four digits."""
    return round(float(state.epoch or 0.0), 4)
