"""Checkpoints as the trainer commits them, of a few bytes each."""

from datetime import UTC, datetime

from finetune_trainer.checkpoints.manifest import Manifest
from finetune_trainer.checkpoints.store import Checkpoint, CheckpointStore

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def manifest(step: int, *, value: float | None = None, lineage: str = "ours", job: str = "j") -> Manifest:
    return Manifest(
        job=job,
        job_uid="u",
        attempt=1,
        lineage=lineage,
        step=step,
        epoch=step / 10,
        world_size=2,
        zero_stage=2,
        deepspeed=True,
        time=NOW,
        metric="loss" if value is not None else None,
        value=value,
    )


def commit(
    store: CheckpointStore, step: int, *, value: float | None = None, lineage: str = "ours"
) -> Checkpoint:
    staged = store.staging / f"checkpoint-{step}"
    staged.mkdir()
    (staged / "model.safetensors").write_bytes(b"w" * step)
    return store.commit(staged, manifest(step, value=value, lineage=lineage))


def steps(store: CheckpointStore) -> list[int]:
    return [checkpoint.step for checkpoint in store.all()]


def tear(checkpoint: Checkpoint) -> None:
    (checkpoint.path / "model.safetensors").write_bytes(b"")
