"""What a checkpoint brings along is on the disk before it: the curve that a resumed run keeps."""

from collections.abc import Callable
from pathlib import Path

from finetune_api import ResolvedJob
from finetune_trainer.checkpoints.manifest import MANIFEST
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.metrics import MetricsFile
from finetune_trainer.reporting import Reporter
from finetune_trainer.tracking.fanout import Tracking
from finetune_trainer.training.saves import Saves
from stored_checkpoints import manifest

MakeJob = Callable[..., ResolvedJob]


def saves(job: ResolvedJob) -> tuple[Saves, Path]:
    """With what transformers has written of step 10."""
    store = CheckpointStore(Path(job.paths.run_directory), keep=1, greater_is_better=False)
    store.prepare()
    staged = store.staging / "checkpoint-10"
    staged.mkdir()
    (staged / "model.safetensors").write_bytes(b"w")
    return Saves(job, store, Reporter([]), Tracking(), None), staged


def test_the_curve_is_durable_before_the_checkpoint(make_job: MakeJob, flushed: list[Path]) -> None:
    """A node that loses its power would go on from step 10 with a hole in `metrics.jsonl`."""
    job = make_job()
    saving, staged = saves(job)
    MetricsFile(Path(job.paths.run_directory)).append({"step": 10, "loss": 1.0})
    saving._commit(staged, manifest(10))
    names = [path.name for path in flushed]
    assert names.index("metrics.jsonl") < names.index(MANIFEST)


def test_a_run_without_a_curve_is_saved_too(make_job: MakeJob) -> None:
    saving, staged = saves(make_job())
    saving._commit(staged, manifest(10))
    assert [checkpoint.step for checkpoint in saving.store.all()] == [10]
