"""What happens between two optimizer steps: metrics, guards, evaluations, checkpoints, and a stop when told
so."""

import json
import logging
import math
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_api.lineage import lineage_hash
from finetune_api.resolved import ResolvedJob
from finetune_api.status import CheckpointsStatus
from finetune_trainer.checkpoints import CheckpointStore, Manifest
from finetune_trainer.data.dataset import TokenizedDataset
from finetune_trainer.data.packed import PackedDataset
from finetune_trainer.data.sampling import GlobalOrder
from finetune_trainer.deepspeed_config import uses_deepspeed
from finetune_trainer.distributed import any_rank, barrier
from finetune_trainer.errors import DivergedError, StorageError
from finetune_trainer.interruption import StopRequest
from finetune_trainer.metrics import Line, MetricsFile, Stopwatch, Window, memory_bytes
from finetune_trainer.reporting import Reporter

log = logging.getLogger(__name__)

WINDOW_FILE = "window.json"
LIBRARIES = ("torch", "transformers", "accelerate", "peft", "deepspeed")
SHOWN_RECORDS = 16


@dataclass
class RunCallback(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Follows the run on every rank; rank 0 writes and reports."""

    job: ResolvedJob
    data: TokenizedDataset | PackedDataset
    order: GlobalOrder
    store: CheckpointStore
    reporter: Reporter
    stop: StopRequest
    evaluates: bool
    first: bool
    """Whether this is rank 0."""
    window: Window = field(default_factory=Window)
    interrupted: bool = False

    def __post_init__(self) -> None:
        self.file = MetricsFile(Path(self.job.paths.run_directory))
        self.watch = Stopwatch()
        self.saved_at = time.monotonic()
        self.tokens = 0
        self.step_seconds: float | None = None
        self.scores: dict[str, float] = {}

    def resume(self, checkpoint: Path) -> None:
        """Takes up the metrics where a checkpoint left them."""
        self.window.losses = json.loads((checkpoint / WINDOW_FILE).read_text(encoding="utf-8"))["losses"]

    # --- the run
    # ------------------------------------------------------------------------------------------------

    def on_train_begin(
        self, _args: TrainingArguments, state: TrainerState, _control: TrainerControl, **_kwargs: Any
    ) -> None:
        self.tokens = sum(self.data.tokens_in(self.order.step(step)) for step in range(state.global_step))
        if self.first:
            self.file.begin(state.global_step)
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
        told, due = any_rank(
            self.stop.requested,
            self.first
            and every_minutes is not None
            and time.monotonic() - self.saved_at >= 60 * every_minutes,
        )
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
        self._refuse_nan(
            state.global_step, logs, indices, scaled=args.fp16, weights_are_finite=weights_are_finite
        )
        tokens = self.data.tokens_in(indices)
        self.tokens += tokens
        seconds = self.watch.lap()
        self.step_seconds = seconds if self.step_seconds is None else 0.9 * self.step_seconds + 0.1 * seconds
        samples = sum(index < self.order.size for index in indices)
        self.window.add(logs["loss"], tokens=tokens, samples=samples, seconds=seconds)
        remaining = (state.max_steps - state.global_step) * self.step_seconds
        self.reporter.update(
            step=state.global_step, epoch=_epoch(state), tokens=self.tokens, remaining_seconds=remaining
        )
        if self._logs_now(state):
            self._write_line(args, state, logs)

    def on_evaluate(
        self,
        _args: TrainingArguments,
        state: TrainerState,
        _control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **_kwargs: Any,
    ) -> None:
        loss = (metrics or {})["eval_loss"]
        if not math.isfinite(loss):
            raise DivergedError(f"the evaluation loss after step {state.global_step} is {loss}")
        self.scores = {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}
        if self.first:
            self.file.append(
                {
                    "step": state.global_step,
                    "evalLoss": loss,
                    "evalPerplexity": self.scores["perplexity"],
                    "attempt": self.job.attempt,
                }
            )
        self.reporter.update(metrics={"evalLoss": _text(loss)}, activity="training", urgent=True)
        log.info("step %d: evaluation loss %.4f", state.global_step, loss)
        self.watch.restart()

    def _refuse_nan(
        self, step: int, logs: dict[str, float], indices: list[int], *, scaled: bool, weights_are_finite: bool
    ) -> None:
        gradient = logs.get("grad_norm")
        # fp16: an infinite gradient makes the scaler skip the step and lower its scale; that is no divergence
        gradient_is_finite = gradient is None or math.isfinite(gradient) or scaled
        if not (math.isfinite(logs["loss"]) and gradient_is_finite and weights_are_finite):
            origins = self.data.origins(indices)
            shown = "; ".join(map(str, origins[:SHOWN_RECORDS]))
            more = f"; and {len(origins) - SHOWN_RECORDS} more" if len(origins) > SHOWN_RECORDS else ""
            raise DivergedError(
                f"step {step}: loss {logs['loss']}, gradient norm {gradient}. Records of this step: "
                f"{shown}{more}. The last checkpoint is from before. Lower training.learningRate, set "
                "training.maxGradNorm, or look at these records"
            )

    def _logs_now(self, state: TrainerState) -> bool:
        training = self.job.spec.training
        step = state.global_step
        return (
            step % training.logging_steps == 0
            or step >= state.max_steps
            or (step == 1 and training.logging_first_step)
        )

    def _write_line(self, args: TrainingArguments, state: TrainerState, logs: dict[str, float]) -> None:
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
            "attempt": self.job.attempt,
        }
        if (gradient := logs.get("grad_norm")) is not None and math.isfinite(gradient):
            line["gradNorm"] = gradient
        if not self.first:
            return
        self.file.append(line)
        shown = ("loss", "learningRate", "gradNorm", "tokensPerSecond", "samplesPerSecond", "peakMemoryBytes")
        self.reporter.update(metrics={name: _text(line[name]) for name in shown if name in line})
        log.info(
            "step %d/%d: loss %.4f, learning rate %.3g, %.0f tokens/s",
            state.global_step,
            state.max_steps,
            loss,
            logs["learning_rate"],
            tokens_per_second,
        )

    # --- checkpoints
    # --------------------------------------------------------------------------------------------

    def on_save(
        self, _args: TrainingArguments, state: TrainerState, _control: TrainerControl, **_kwargs: Any
    ) -> None:
        """Commits what transformers has just written, once every rank has written its part."""
        self.reporter.update(activity="saving")
        staged = self.store.staging / f"checkpoint-{state.global_step}"
        failure: StorageError | None = None
        if self.first:
            (staged / WINDOW_FILE).write_text(json.dumps({"losses": self.window.losses}), encoding="utf-8")
        barrier()
        if self.first:
            try:
                self.store.commit(staged, self._manifest(state))
            except StorageError as error:
                failure = error
        (failed,) = any_rank(failure is not None)
        if failed:
            raise failure or StorageError(f"rank 0 cannot write the checkpoint of step {state.global_step}")
        self.scores = {}
        self.saved_at = time.monotonic()
        if self.first:
            self.reporter.update(checkpoints=checkpoints_status(self.store), activity="training", urgent=True)
            log.info("checkpoint of step %d is committed", state.global_step)
        self.watch.restart()

    def _manifest(self, state: TrainerState) -> Manifest:
        spec = self.job.spec
        value = self.scores.get(spec.checkpoints.metric)
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
            time=datetime.now(UTC),
            metric=spec.checkpoints.metric if value is not None else None,
            value=value,
            libraries={name: version(name) for name in LIBRARIES},
        )


def are_finite(model: torch.nn.Module) -> bool:
    """Whether every trained weight is a number."""
    return all(bool(torch.isfinite(weight).all()) for weight in model.parameters() if weight.requires_grad)


def checkpoints_status(store: CheckpointStore) -> CheckpointsStatus:
    """Latest and best checkpoint, for the status."""
    latest, best = store.latest(), store.best()
    return CheckpointsStatus(latest=latest.ref() if latest else None, best=best.best_ref() if best else None)


def _is_due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _epoch(state: TrainerState) -> float:
    return round(float(state.epoch or 0.0), 4)


def _text(value: float | str) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
