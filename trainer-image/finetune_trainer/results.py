"""How an attempt ended: the termination message that the operator reads, and the exit code."""

import os
from collections.abc import Mapping
from pathlib import Path

from finetune_api.result import ExitCode, TrainingResult
from finetune_api.status import CheckpointsStatus
from finetune_trainer.errors import InterruptedRunError, TrainerError
from finetune_trainer.reporting import Reporter

TERMINATION_MESSAGE_VARIABLE = "FINETUNE_TERMINATION_MESSAGE"
TERMINATION_LOG = Path("/dev/termination-log")


def termination_message_file(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Where the result goes: the file that the environment names, else kubelet's, else nowhere."""
    named = environment.get(TERMINATION_MESSAGE_VARIABLE)
    if named:
        return Path(named)
    return TERMINATION_LOG if TERMINATION_LOG.exists() else None


def write_result(result: TrainingResult, file: Path | None) -> None:
    """Leaves the result for the operator. Raises `OSError`."""
    if file is not None:
        file.write_text(result.to_termination_message(), encoding="utf-8")


def read_result(file: Path) -> TrainingResult | None:
    """The result that a rank has left in a file; None when it has left none."""
    if not file.exists():
        return None
    return TrainingResult.from_termination_message(file.read_text(encoding="utf-8", errors="replace"))


def success(message: str, reporter: Reporter) -> TrainingResult:
    """The result of an attempt that did all that was asked, with what the reporter was told of it."""
    report = reporter.report
    return TrainingResult(
        outcome="succeeded",
        reason=ExitCode.SUCCEEDED.reason,
        message=message,
        exit_code=int(ExitCode.SUCCEEDED),
        step=report.step,
        total_steps=report.total_steps,
        resumed_step=report.resumed_step,
        metrics=reporter.metrics,
        checkpoints=report.checkpoints,
        output=report.output,
        hub=report.hub,
        evaluation=report.evaluation,
    )


def failure(error: TrainerError, reporter: Reporter | None = None) -> TrainingResult:
    """The result of an attempt that did not succeed, with what the reporter knows of its progress."""
    report = reporter.report if reporter else None
    return TrainingResult(
        outcome="interrupted" if isinstance(error, InterruptedRunError) else "failed",
        reason=error.exit_code.reason,
        message=str(error),
        exit_code=int(error.exit_code),
        step=report.step if report else 0,
        total_steps=report.total_steps if report else None,
        resumed_step=report.resumed_step if report else None,
        metrics=reporter.metrics if reporter else {},
        checkpoints=report.checkpoints if report else CheckpointsStatus(),
    )
