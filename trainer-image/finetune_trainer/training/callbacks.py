"""What happens between two optimizer steps: metrics, guards, evaluations, checkpoints, and a stop when told
so."""

import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_api.resolved import ResolvedJob
from finetune_trainer.checkpoints.store import Checkpoint, checkpoints_status
from finetune_trainer.data.sampling import GlobalOrder
from finetune_trainer.distributed import any_rank, rank
from finetune_trainer.errors import DivergedError, InterruptedRunError
from finetune_trainer.interruption import StopRequest
from finetune_trainer.metrics import MEASURED, REPORTED, Line, MetricsFile, is_logged
from finetune_trainer.reporting import Reporter
from finetune_trainer.tracking.fanout import Tracking
from finetune_trainer.training.evaluation import named, scores, shown_scores
from finetune_trainer.training.guards import Guard, are_finite, refuse_bad_weights
from finetune_trainer.training.improvement import Improvement
from finetune_trainer.training.optimizers import optimizer_word
from finetune_trainer.training.progress import Progress, epoch_of
from finetune_trainer.training.saves import WINDOW_FILE, Saves
from finetune_trainer.training.trainer import FineTuneTrainer
from finetune_trainer.training.watch import Watch

log = logging.getLogger(__name__)


@dataclass
class RunCallback(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Follows the run on every rank; rank 0 writes and reports."""

    job: ResolvedJob
    order: GlobalOrder
    progress: Progress
    guard: Guard
    watch: Watch | None
    saves: Saves
    reporter: Reporter
    tracking: Tracking
    stop: StopRequest
    evaluates: bool

    def __post_init__(self) -> None:
        spec = self.job.spec
        self.first = rank() == 0
        self.file = MetricsFile(Path(self.job.paths.run_directory))
        self.improvement = Improvement(spec.training.early_stopping, spec.checkpoints.greater_is_better)
        self.scores: dict[str, float] = {}
        self.scored_step = 0
        self.interrupted = False
        self.owes_evaluation = False
        """Whether this step's evaluation was given up, so that who goes on from here has to do it."""
        self.catch_up: Callable[[], None] = lambda: None

    def follow(self, trainer: FineTuneTrainer, checkpoint: Checkpoint | None) -> None:
        """Trains to the end, from a checkpoint where there is one.

        Raises `InterruptedRunError` when the run was told to end, `DivergedError`, `StorageError`, and
        whatever the libraries raise.
        """
        if checkpoint is not None:
            log.info("resuming from %s", checkpoint.path.name)
            self._take_up(checkpoint.path)
            self.catch_up = partial(trainer.catch_up, checkpoint.path)
            self.reporter.update(checkpoints=checkpoints_status(self.saves.store))
        trainer.before_save = self._before_save
        trainer.gives_way = self._gives_way
        trainer.train(resume_from_checkpoint=str(checkpoint.path) if checkpoint else None)
        if self.interrupted:
            raise InterruptedRunError(
                f"told to end: stopped after step {trainer.state.global_step}, whose checkpoint is committed"
            )

    # --- the run
    # ------------------------------------------------------------------------------------------------

    def on_train_begin(
        self, _args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # a run that had stopped early when it was saved
        control.should_training_stop = self.improvement.exhausted
        # only now is there an optimizer: DeepSpeed may have put one of its own in the place of the spec's
        optimizer = optimizer_word(self.job.spec.training.optimizer, kwargs["optimizer"])
        self.reporter.update(effective={**self.reporter.report.effective, "optimizer": optimizer})
        self.progress.begin(state.global_step)
        if self.first:
            self._show(self.file.begin(state.global_step))
            self.tracking.start(
                self.job,
                resumed_step=state.global_step or None,
                effective=self.reporter.report.effective,
            )
        self.reporter.update(
            activity="training",
            step=state.global_step,
            total_steps=state.max_steps,
            tokens=self.progress.tokens,
            urgent=True,
        )
        if self.owes_evaluation and self.evaluates:
            self.reporter.update(activity="evaluating")
            self.catch_up()
            # what is loaded of this checkpoint next must not be on its way
            self.saves.finish()
        self.saves.restart_clock()
        self.progress.watch.restart()

    def on_step_end(
        self, _args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kwargs: Any
    ) -> None:
        """Decides, on all ranks alike, what follows this step. transformers then logs, evaluates, saves: in
        this order."""
        spec = self.job.spec
        step, last = state.global_step, state.global_step >= state.max_steps
        epoch_end = step % self.order.steps_per_epoch == 0
        told, due, failed = any_rank(
            self.stop.requested, self.first and self.saves.is_due, self.saves.commits.has_failed
        )
        if failed:
            self.saves.finish()
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

    def _gives_way(self, control: TrainerControl) -> bool:
        """Whether the run was told to end, on any rank: the evaluation that goes on is owed then."""
        (told,) = any_rank(self.stop.requested)
        if told:
            self.interrupted = self.owes_evaluation = True
            control.should_evaluate = False
            control.should_save = control.should_training_stop = True
        return told

    # --- checkpoints
    # --------------------------------------------------------------------------------------------

    def on_save(
        self, _args: TrainingArguments, state: TrainerState, _control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begins to commit what transformers has just written: beside the next steps, or the export. Where
        neither comes, it is waited for."""
        refuse_bad_weights(kwargs["model"], state.global_step, "a checkpoint")
        self.saves.begin(
            state, self._kept(), self._score(state), model=kwargs["model"], optimizer=kwargs["optimizer"]
        )
        if self.interrupted:
            self.saves.finish()
        self.reporter.update(activity="training")
        self.progress.watch.restart()

    def _before_save(self) -> None:
        self.reporter.update(activity="saving")
        self.saves.finish()

    def _kept(self) -> dict[str, Any]:
        """What travels with a checkpoint beside the weights and the optimizer."""
        trend = self.guard.trend.state() if self.guard.trend else None
        return self.progress.state() | {
            "skipped": self.guard.skipped,
            "trend": trend,
            "watch": self.watch.state() if self.watch else None,
            "metric": self.job.spec.checkpoints.measured_metric,
            "improvement": self.improvement.state(),
            "owes_evaluation": self.owes_evaluation,
        }

    def _take_up(self, checkpoint: Path) -> None:
        kept = json.loads((checkpoint / WINDOW_FILE).read_text(encoding="utf-8"))
        self.progress.restore(kept)
        self.guard.skipped = kept.get("skipped", 0)
        self.owes_evaluation = kept.get("owes_evaluation", False)
        if self.guard.trend is not None and kept.get("trend") is not None:
            self.guard.trend.restore(kept["trend"])
        if self.watch is not None and kept.get("watch") is not None:
            self.watch.restore(kept["watch"])
            if self.watch.last_word is not None:
                self._warn(self.watch.last_word)
        metric = self.job.spec.checkpoints.measured_metric
        # patience with one metric says nothing of another
        if kept.get("improvement") is not None and kept.get("metric", metric) == metric:
            self.improvement.restore(kept["improvement"])

    def _score(self, state: TrainerState) -> float | None:
        """`checkpoints.metric` of these weights; that of another step says nothing about them."""
        scored = self.scored_step == state.global_step
        return self.scores.get(self.job.spec.checkpoints.measured_metric) if scored else None

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
        # DeepSpeed's stage 0 tells no gradient norm: what a bad gradient does to the weights shows instead
        weights_are_finite = model is None or logs.get("grad_norm") is not None or are_finite(model)
        self.guard.check(
            state.global_step, logs["loss"], logs.get("grad_norm"), weights_are_finite=weights_are_finite
        )
        if self.watch is not None and (news := self.watch.see(state.global_step, logs["loss"])):
            self._warn(news)
        self.progress.add(state, logs)
        self.reporter.update(
            step=state.global_step,
            epoch=epoch_of(state),
            tokens=self.progress.tokens,
            remaining_seconds=self.progress.remaining_seconds(state),
        )
        if is_logged(self.job.spec.training, state.global_step, state.max_steps):
            line = self.progress.close_window(state, logs, args.device)
            if self.guard.scaled:
                line["skippedSteps"] = self.guard.skipped
            if self.watch is not None:
                line["offCurveSteps"] = self.watch.steps
            if self.first:
                self._tell(state, line)

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
            raise DivergedError(
                f"step {state.global_step}: the evaluation loss is {loss}, though loss and gradients were "
                "finite. The last checkpoint is from before. Lower training.learningRate, or look at the "
                "evaluation data"
            )
        self.scores = scores(metrics or {}, likelihood=self.progress.likelihood)
        self.scored_step = state.global_step
        self.owes_evaluation = False
        spec = self.job.spec
        value = self.scores.get(spec.checkpoints.measured_metric)
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
        self.progress.watch.restart()

    def _tell(self, state: TrainerState, line: Line) -> None:
        self._publish(line)
        self._show(line)
        log.info(
            "step %d/%d: loss %.4f, learning rate %.3g, %.0f tokens/s",
            state.global_step,
            state.max_steps,
            line["loss"],
            line["learningRate"],
            line["tokensPerSecond"],
        )

    def _show(self, line: Line) -> None:
        """Has the status tell of a line what it shows. (A run that has nothing left to train, but its result
        to write, goes on with what its earlier attempts have measured.)"""
        known = {*REPORTED, *MEASURED, *shown_scores(self.job.spec.evaluation)}
        self.reporter.update(metrics={name: _text(value) for name, value in line.items() if name in known})

    def _warn(self, news: str) -> None:
        if self.first:
            log.warning("%s", news)
            self.reporter.warn("loss", news)

    def _publish(self, line: Line) -> None:
        self.file.append(line)
        self.tracking.log(line)


def _is_due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _text(value: float | str) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
