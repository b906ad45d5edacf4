"""Which weights become the output, and what passes for a proof of it."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist

from finetune_api import ResolvedJob
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.errors import OutputInvalidError
from finetune_trainer.output.export import Chosen, Probe, load_output, take_best, verify
from stored_checkpoints import commit, steps, tear

MakeJob = Callable[..., ResolvedJob]


@pytest.fixture
def job(make_job: MakeJob) -> ResolvedJob:
    """One of the layout that the checkpoints are of, which is part of the process group."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    return make_job({"distributed": {"processesPerNode": 2, "zeroStage": 2}})


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    """Of three steps, the first of which is the best, and then the second."""
    made = CheckpointStore(tmp_path, keep=3, greater_is_better=False)
    made.prepare()
    for step in (10, 20, 30):
        commit(made, step, value=float(step))
    return made


class AtStep:
    """A trainer that has done so many steps, and remembers where it took weights from."""

    def __init__(self, step: int) -> None:
        self.state = SimpleNamespace(global_step=step)
        self.taken: list[str] = []

    def is_world_process_zero(self) -> bool:
        return True

    def load_weights(self, checkpoint: Path) -> None:
        self.taken.append(checkpoint.name)


def take(store: CheckpointStore, job: ResolvedJob) -> tuple[list[str], Chosen]:
    trainer: Any = AtStep(30)
    chosen = take_best(trainer, store, job)
    return trainer.taken, chosen


def test_the_best_checkpoint_becomes_the_output(store: CheckpointStore, job: ResolvedJob) -> None:
    assert take(store, job) == (["step-00000010"], Chosen(10))


def test_a_torn_best_checkpoint_is_named_and_the_next_best_taken(
    store: CheckpointStore, job: ResolvedJob
) -> None:
    tear(store.all()[0])
    taken, chosen = take(store, job)
    assert (taken, chosen.step) == (["step-00000020"], 20)
    assert chosen.torn == (
        "output.checkpoint: best is made from step 20: checkpoint step-00000010 is skipped: "
        "model.safetensors has 0 bytes, 10 were written"
    )
    assert steps(store) == [20, 30], "the status does not tell of it any more"


def test_the_weights_of_the_last_step_stay_when_all_that_were_better_are_torn(
    store: CheckpointStore, job: ResolvedJob
) -> None:
    for checkpoint in store.all()[:2]:
        tear(checkpoint)
    taken, chosen = take(store, job)
    assert (taken, chosen.step) == ([], 30)
    assert chosen.torn is not None
    assert chosen.torn.startswith("output.checkpoint: best is made from step 30: ")


def test_logits_that_are_not_numbers_do_not_pass_for_equal_ones(tiny_model: Path) -> None:
    with pytest.raises(OutputInvalidError, match="logits differ by nan"):
        verify(
            tiny_model,
            lambda: load_output(tiny_model, None, torch.float32),
            Probe(torch.ones((1, 4), dtype=torch.long), torch.full((1, 1, 1), torch.nan)),
            "fp32",
            torch.device("cpu"),
            tolerance=1.0,
            trust=False,
            generates=False,
        )
