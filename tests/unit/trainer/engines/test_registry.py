"""Engines: validation lets through what the trainer has, and the trainer runs what it is given."""

from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_api import ExitCode, ResolvedJob, TrainingResult
from finetune_api.training import TrainingSpec
from finetune_api.validation.capabilities import LIMITS
from finetune_trainer import rank
from finetune_trainer.engines import ENGINES, engine_for
from finetune_trainer.errors import InvalidConfigError

MakeJob = Callable[..., ResolvedJob]


def test_validation_lets_through_the_engines_that_are_there() -> None:
    (limit,) = (limit for limit in LIMITS if limit.path == "training.engine")
    assert set(limit.values or ()) == set(ENGINES)


def test_an_engine_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidConfigError, match=r"training.engine: llamafactory is not in this image"):
        engine_for(TrainingSpec(engine="llamafactory"))


def test_a_rank_runs_the_engine_of_its_job(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Done:
        def train(self, job: ResolvedJob, *_others: object) -> TrainingResult:
            return TrainingResult(
                outcome="succeeded", reason="Succeeded", message=job.job.name, exit_code=ExitCode.SUCCEEDED
            )

    monkeypatch.setitem(ENGINES, "transformers", Done())
    assert rank.run(make_job()) == ExitCode.SUCCEEDED
    result = TrainingResult.from_termination_message((tmp_path / "termination-message").read_text())
    assert result is not None
    assert result.message == "tiny"
