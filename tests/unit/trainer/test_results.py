"""The termination message: who writes it, where, and what it says of a failure."""

from pathlib import Path

import pytest

from finetune_api import ExitCode, Reason
from finetune_trainer import results
from finetune_trainer.errors import DataError, InterruptedRunError, TrainerError
from finetune_trainer.reporting import Reporter


def test_a_failure_tells_reason_exit_code_and_how_far_it_got() -> None:
    reporter = Reporter([])
    reporter.update(step=7, total_steps=20, resumed_step=5, metrics={"loss": "1.25"})
    result = results.failure(DataError("f.jsonl, line 3: broken"), reporter)
    assert (result.outcome, result.reason, result.exit_code) == ("failed", Reason.DATA_ERROR, 11)
    assert (result.step, result.total_steps, result.resumed_step) == (7, 20, 5)
    assert result.message == "f.jsonl, line 3: broken"
    assert result.metrics == {"loss": "1.25"}


def test_an_interruption_is_not_a_failure() -> None:
    result = results.failure(InterruptedRunError("told to end"))
    assert (result.outcome, result.exit_code) == ("interrupted", ExitCode.INTERRUPTED)


def test_an_unknown_error_may_be_retried() -> None:
    result = results.failure(TrainerError("ZeroDivisionError: division by zero"))
    assert (result.reason, result.exit_code) == (Reason.TRAINER_CRASHED, 1)


def test_the_result_is_written_where_the_environment_says(tmp_path: Path) -> None:
    file = results.termination_message_file({"FINETUNE_TERMINATION_MESSAGE": str(tmp_path / "message")})
    results.write_result(results.failure(DataError("x" * 10_000)), file)
    assert file is not None
    text = file.read_text()
    assert len(text.encode()) <= 4096
    read = results.read_result(file)
    assert read is not None
    assert read.reason is Reason.DATA_ERROR


def test_kubelets_file_is_used_where_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "TERMINATION_LOG", tmp_path / "log")
    assert results.termination_message_file({}) is None
    (tmp_path / "log").touch()
    assert results.termination_message_file({}) == tmp_path / "log"
    assert results.read_result(tmp_path / "log") is None
    assert results.read_result(tmp_path / "gone") is None
