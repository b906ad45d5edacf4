"""A run with a NaN never succeeds: real weights make one for one record, in one process and on two ranks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api import ExitCode, Reason, ResolvedJob
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.errors import DivergedError
from one_rank import train
from poison import RECORD, Harm, poisoned
from runs import end_of, launched, log_in, losses

MakeJob = Callable[..., ResolvedJob]


RECORDS = [{"instruction": f"add {a} and 1", "output": str(a + 1)} for a in range(11)] + [RECORD]
BAD_LINE = 12
FULL: dict[str, Any] = {"type": "full"}
LORA: dict[str, Any] = {"type": "lora"}


@pytest.fixture
def bad_job(make_job: MakeJob, write_jsonl: Callable[..., Path], tiny_model: Path, tmp_path: Path) -> MakeJob:
    """A job whose third step holds the record that breaks, in the second of its micro-batches."""

    def make(method: dict[str, Any], harm: Harm, distributed: dict[str, Any] | None = None) -> ResolvedJob:
        order = [*range(9), 10, 11, 9]
        write_jsonl([RECORDS[index] for index in order])
        model = poisoned(tiny_model, tmp_path / harm, harm)
        ranks = (distributed or {}).get("processesPerNode", 1)
        training = {
            "sampling": "sequential",
            "microBatchSize": 1,
            "gradientAccumulationSteps": 4 // ranks,
            "maxSteps": 6,
        }
        return make_job(
            {
                "model": {"path": str(model)},
                "method": method,
                "training": training,
                "distributed": distributed or {},
                "checkpoints": {"everySteps": 1},
            }
        )

    return make


def assert_nothing_of_the_step_is_kept(job: ResolvedJob) -> None:
    store = CheckpointStore(Path(job.paths.run_directory), keep=3, greater_is_better=False)
    latest = store.latest()
    assert latest is not None
    assert latest.step == 2
    assert [step for step, _ in losses(job)] == [1, 2]
    output = Path(job.paths.output_directory)
    assert not output.exists() or list(output.iterdir()) == []


@pytest.mark.parametrize("method", [FULL, LORA], ids=["full", "lora"])
def test_a_loss_that_is_not_a_number_ends_the_run_in_its_step_and_names_its_record(
    bad_job: MakeJob, method: dict[str, Any]
) -> None:
    job = bad_job(method, "loss")
    with pytest.raises(
        DivergedError,
        match=r"step 3: loss nan, .*Records whose loss is not a number: train.jsonl, line 11\. ",
    ):
        train(job)
    assert_nothing_of_the_step_is_kept(job)


def test_a_gradient_that_is_not_a_number_ends_the_run_though_the_loss_is_fine(bad_job: MakeJob) -> None:
    job = bad_job(FULL, "gradient")
    with pytest.raises(
        DivergedError,
        match=r"step 3: loss \d\.\d+, gradient norm not finite\. Records of this step: train.jsonl, line 9; ",
    ):
        train(job)
    assert_nothing_of_the_step_is_kept(job)


def test_an_evaluation_loss_that_is_not_a_number_ends_the_run_before_its_step_is_saved(
    make_job: MakeJob, tiny_model: Path, tmp_path: Path, write_jsonl: Callable[..., Path]
) -> None:
    """The run trains on good records alone, and would go on to its end."""
    spec = {
        "model": {"path": str(poisoned(tiny_model, tmp_path / "loss", "loss"))},
        "dataset": {"eval": {"path": str(write_jsonl([RECORD], "eval.jsonl"))}},
        "evaluation": {"everySteps": 2},
        "checkpoints": {"everySteps": 1},
        "output": {"checkpoint": "best"},
    }
    job = make_job(spec)
    with pytest.raises(DivergedError, match=r"^step 2: the evaluation loss is nan, though .* were finite"):
        train(job)
    store = CheckpointStore(Path(job.paths.run_directory), keep=3, greater_is_better=False)
    assert [checkpoint.step for checkpoint in store.all()] == [1]
    assert not Path(job.paths.output_directory).exists()


def test_a_weight_that_is_not_a_number_is_in_no_checkpoint_though_no_record_meets_it(
    make_job: MakeJob, tiny_model: Path, tmp_path: Path
) -> None:
    model = poisoned(tiny_model, tmp_path / "weight", "weight")
    job = make_job({"model": {"path": str(model)}, "checkpoints": {"everySteps": 1}})
    with pytest.raises(DivergedError, match=r"step 1: a trained weight is not finite.*as a checkpoint"):
        train(job)
    store = CheckpointStore(Path(job.paths.run_directory), keep=3, greater_is_better=False)
    assert store.all() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "harm", "zero_stage"),
    [
        (FULL, "gradient", 0),
        (FULL, "gradient", 2),
        (FULL, "gradient", 3),
        (FULL, "loss", 2),
        (LORA, "loss", 3),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else str(value),
)
def test_two_ranks_end_too(
    bad_job: MakeJob, tmp_path: Path, method: dict[str, Any], harm: Harm, zero_stage: int
) -> None:
    job = bad_job(method, harm, {"processesPerNode": 2, "zeroStage": zero_stage})
    with launched(job, tmp_path / "a") as node:
        status, result = end_of(node, tmp_path / "a")
    assert status == ExitCode.DIVERGED, log_in(tmp_path / "a")
    assert result is not None
    assert (result.outcome, result.reason) == ("failed", Reason.DIVERGED)
    named = "not a number: train.jsonl, line 11. " if harm == "loss" else "line 9; train.jsonl, line 10; "
    assert named in result.message
    assert_nothing_of_the_step_is_kept(job)
