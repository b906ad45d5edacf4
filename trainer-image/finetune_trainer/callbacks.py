"""What happens between two optimizer steps: metrics, guards, evaluations, checkpoints, and a stop when told
so."""

import json
import logging
import math
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_api.lineage import lineage_hash
from finetune_api.resolved import ResolvedJob
from finetune_trainer.checkpoints import CheckpointStore, Manifest, checkpoints_status, library_versions
from finetune_trainer.commits import Commits
from finetune_trainer.data.sampling import GlobalOrder
from finetune_trainer.data.training_data import TrainingData
from finetune_trainer.deepspeed_config import uses_deepspeed
from finetune_trainer.distributed import any_rank, barrier
from finetune_trainer.errors import DivergedError, StorageError
from finetune_trainer.evaluation.loop import named, scores
from finetune_trainer.guards import Guard, are_finite, is_a_norm
from finetune_trainer.hub_saves import HubSaves
from finetune_trainer.improvement import Improvement
from finetune_trainer.interruption import StopRequest
from finetune_trainer.metrics import (
    REPORTED,
    Line,
    MetricsFile,
    Stopwatch,
    Window,
    is_logged,
    measured_in,
    memory_bytes,
    perplexity,
)
from finetune_trainer.reporting import Reporter
from finetune_trainer.tracking.fanout import Tracking
from finetune_trainer.universal import write_names
from finetune_trainer.utilisation import Utilisation

log = logging.getLogger(__name__)

WINDOW_FILE = "window.json"


@dataclass
class RunCallback(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Follows the run on every rank; rank 0 writes and reports."""

    job: ResolvedJob
    data: TrainingData
    order: GlobalOrder
    store: CheckpointStore
    reporter: Reporter
    stop: StopRequest
    guard: Guard
    improvement: Improvement
    utilisation: Utilisation | None
    evaluates: bool
    first: bool
    """Whether this is rank 0."""
    likelihood: bool = True
    """Whether the loss is in nats per token, so that it has a perplexity."""
    tracking: Tracking = field(default_factory=Tracking)
    hub: HubSaves | None = None
    window: Window = field(default_factory=Window)
    interrupted: bool = False

    def __post_init__(self) -> None:
        self.file = MetricsFile(Path(self.job.paths.run_directory))
        self.watch = Stopwatch()
        self.commits = Commits()
        self.saved_at = time.monotonic()
        self.tokens = 0
        self.resumed_tokens: int | None = None
        self.step_seconds: float | None = None
        self.scores: dict[str, float] = {}
        self.scored_step = 0

    def resume(self, checkpoint: Path) -> None:
        """Takes up the metrics where a checkpoint left them."""
        kept = json.loads((checkpoint / WINDOW_FILE).read_text(encoding="utf-8"))
        self.window.losses = kept["losses"]
        self.window.measured = kept.get("measured", [])
        self.resumed_tokens = kept.get("tokens")
        self.guard.skipped = kept.get("skipped", 0)
        if self.guard.trend is not None and kept.get("trend") is not None:
            self.guard.trend.restore(kept["trend"])
        if kept.get("improvement") is not None:
            self.improvement.restore(kept["improvement"])

    # --- the run
    # ------------------------------------------------------------------------------------------------

    def on_train_begin(
        self, _args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kwargs: Any
    ) -> None:
        # a run that had stopped early when it was saved
        control.should_training_stop = self.improvement.exhausted
        self.tokens = self._tokens_before(state.global_step)
        if self.first:
            self.file.begin(state.global_step)
            self.tracking.start(
                self.job,
                resumed_step=state.global_step or None,
                effective=self.reporter.report.effective,
            )
        self.reporter.update(
            activity="training",
            step=state.global_step,
            total_steps=state.max_steps,
            tokens=self.tokens,
            urgent=True,
        )
        self.saved_at = time.monotonic()
        self.watch.restart()

    def on_step_end(
        self, _args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kwargs: Any
    ) -> None:
        """Decides, on all ranks alike, what follows this step. transformers then logs, evaluates, saves: in
        this order."""
        spec = self.job.spec
        step, last = state.global_step, state.global_step >= state.max_steps
        epoch_end = step % self.order.steps_per_epoch == 0
        every_minutes = spec.checkpoints.every_minutes
        told, due, unsaved = any_rank(
            self.stop.requested,
            self.first
            and every_minutes is not None
            and time.monotonic() - self.saved_at >= 60 * every_minutes,
            self.commits.has_failed,
        )
        if unsaved:
            self._finish_commit()
        control.should_save = (
            told
            or due
            or last
            or _is_due(step, spec.checkpoints.every_steps)
            or (epoch_end and spec.checkpoints.at_epoch_end)
        )
        control.should_evaluate = self.evaluates and (
            (last and spec.evaluation.at_end)
            or _is_due(step, spec.evaluation.every_steps)
            or (epoch_end and spec.evaluation.at_epoch_end)
        )
        if control.should_evaluate:
            self.reporter.update(activity="evaluating")
        if told and not last:
            self.interrupted = True
            control.should_training_stop = True

    # --- metrics and guards
    # -------------------------------------------------------------------------------------

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        _control: TrainerControl,
        logs: dict[str, float] | None = None,
        model: torch.nn.Module | None = None,
        **_kwargs: Any,
    ) -> None:
        """Called once per step, with the loss of the global batch on every rank."""
        if logs is None or "loss" not in logs:
            return
        indices = self.order.step(state.global_step - 1)
        # DeepSpeed's stage 0 tells no gradient norm: what a bad gradient does to the weights shows instead
        weights_are_finite = model is None or logs.get("grad_norm") is not None or are_finite(model)
        self.guard.check(
            state.global_step, logs["loss"], logs.get("grad_norm"), weights_are_finite=weights_are_finite
        )
        tokens = self.data.tokens_in(indices)
        self.tokens += tokens
        seconds = self.watch.lap()
        self.step_seconds = seconds if self.step_seconds is None else 0.9 * self.step_seconds + 0.1 * seconds
        samples = sum(index < self.order.size for index in indices)
        self.window.add(logs["loss"], tokens=tokens, samples=samples, seconds=seconds)
        self.window.measured.append(measured_in(logs))
        remaining = (state.max_steps - state.global_step) * self.step_seconds
        self.reporter.update(
            step=state.global_step, epoch=_epoch(state), tokens=self.tokens, remaining_seconds=remaining
        )
        if is_logged(self.job.spec.training, state.global_step, state.max_steps):
            self._write_line(args, state, logs)

    def on_evaluate(
        self,
        _args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **_kwargs: Any,
    ) -> None:
        loss = (metrics or {})["eval_loss"]
        if not math.isfinite(loss):
            raise DivergedError(f"the evaluation loss after step {state.global_step} is {loss}")
        self.scores = scores(metrics or {}, likelihood=self.likelihood)
        self.scored_step = state.global_step
        spec = self.job.spec
        value = self.scores.get(spec.checkpoints.metric)
        if value is not None and self.improvement.add(value) and spec.output.checkpoint == "best":
            control.should_save = True
        if self.improvement.exhausted:
            control.should_save = control.should_training_stop = True
        if self.first:
            self._publish(
                {
                    "step": state.global_step,
                    **named(self.scores),
                    "attempt": self.job.attempt,
                }
            )
        shown = {name: _text(value) for name, value in named(self.scores, only=spec.evaluation).items()}
        self.reporter.update(metrics=shown, activity="training", urgent=True)
        log.info("step %d: evaluation loss %.4f", state.global_step, loss)
        self.watch.restart()

    def _write_line(self, args: TrainingArguments, state: TrainerState, logs: dict[str, float]) -> None:
        measured = self.window.close_measured()
        loss, tokens_per_second, samples_per_second = self.window.close()
        memory, peak = memory_bytes(args.device)
        line: Line = {
            "step": state.global_step,
            "epoch": _epoch(state),
            "loss": loss,
            "learningRate": logs["learning_rate"],
            "tokens": self.tokens,
            "tokensPerSecond": round(tokens_per_second, 1),
            "samplesPerSecond": round(samples_per_second, 3),
            "memoryBytes": memory,
            "peakMemoryBytes": peak,
            "remainingSeconds": round((state.max_steps - state.global_step) * (self.step_seconds or 0.0), 1),
            "attempt": self.job.attempt,
        }
        line |= measured | ({"perplexity": perplexity(loss)} if self.likelihood else {})
        if self.utilisation is not None:
            line["modelFlopsUtilization"] = round(self.utilisation.share(tokens_per_second), 4)
        if (gradient := logs.get("grad_norm")) is not None and is_a_norm(gradient):
            line["gradNorm"] = gradient
        if self.guard.scaled:
            line["skippedSteps"] = self.guard.skipped
        if not self.first:
            return
        self._publish(line)
        reported = (*REPORTED, *measured)
        self.reporter.update(metrics={name: _text(line[name]) for name in reported if name in line})
        log.info(
            "step %d/%d: loss %.4f, learning rate %.3g, %.0f tokens/s",
            state.global_step,
            state.max_steps,
            loss,
            logs["learning_rate"],
            tokens_per_second,
        )

    def _tokens_before(self, steps: int) -> int:
        """Tokens of the steps that are done, counted anew where the checkpoint does not tell."""
        if self.resumed_tokens is not None:
            return self.resumed_tokens
        return sum(self.data.tokens_in(self.order.step(step)) for step in range(steps))

    def _publish(self, line: Line) -> None:
        self.file.append(line)
        self.tracking.log(line)

    # --- checkpoints
    # --------------------------------------------------------------------------------------------

    def on_save(
        self, _args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begins to commit what transformers has just written, once every rank has written its part. The last
        one is waited for."""
        self.reporter.update(activity="saving")
        self._finish_commit()
        staged = self.store.staging / f"checkpoint-{state.global_step}"
        if self.first:
            trend = self.guard.trend.state() if self.guard.trend else None
            kept = {
                "losses": self.window.losses,
                "measured": self.window.measured,
                "tokens": self.tokens,
                "skipped": self.guard.skipped,
                "trend": trend,
                "improvement": self.improvement.state(),
            }
            (staged / WINDOW_FILE).write_text(json.dumps(kept), encoding="utf-8")
            write_names(staged, kwargs["model"], kwargs["optimizer"])
        barrier()
        if self.first:
            manifest = self._manifest(state)
            self.commits.begin(lambda: self._commit(staged, manifest))
        if control.should_training_stop or state.global_step >= state.max_steps:
            self._finish_commit()
        self.saved_at = time.monotonic()
        self.watch.restart()

    def _commit(self, staged: Path, manifest: Manifest) -> None:
        """On a thread of rank 0, while the next steps are done."""
        checkpoint = self.store.commit(staged, manifest)
        self.reporter.update(checkpoints=checkpoints_status(self.store), activity="training", urgent=True)
        log.info("checkpoint of step %d is committed", manifest.step)
        self.tracking.upload(checkpoint.path)
        if self.hub is not None:
            self.hub.offer(checkpoint)

    def _finish_commit(self) -> None:
        """Waits for the last commit, on all ranks. Raises `StorageError` on each of them when it failed."""
        failure = self.commits.finish()
        (failed,) = any_rank(failure is not None)
        if failed:
            raise failure or StorageError("rank 0 cannot write a checkpoint")

    def _manifest(self, state: TrainerState) -> Manifest:
        spec = self.job.spec
        # the metric of another step says nothing about these weights
        scored = self.scored_step == state.global_step
        value = self.scores.get(spec.checkpoints.metric) if scored else None
        return Manifest(
            job=self.job.job.name,
            job_uid=self.job.job.uid,
            attempt=self.job.attempt,
            lineage=lineage_hash(spec),
            step=state.global_step,
            epoch=_epoch(state),
            world_size=self.job.world_size,
            zero_stage=spec.distributed.zero_stage,
            deepspeed=uses_deepspeed(spec.distributed, self.job.world_size),
            offload=spec.distributed.offload.optimizer != "none",
            time=datetime.now(UTC),
            metric=spec.checkpoints.metric if value is not None else None,
            value=value,
            libraries=library_versions(),
        )


def _is_due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _epoch(state: TrainerState) -> float:
    return round(float(state.epoch or 0.0), 4)


def _text(value: float | str) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
