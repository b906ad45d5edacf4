"""`CheckpointManager`: the trainer's checkpoints (whole or not there, with a manifest), for one's own loop.

It reads what `Trainer` has written too: the files have the same names.
"""

import json
import shutil
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model

from finetune_trainer.checkpoints.manifest import MANIFEST, Manifest, library_versions
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.errors import StorageError
from finetune_trainer.files import what_is_wrong
from finetune_trainer.python_api.config import TrainingConfig

MODEL_FILE = "model.safetensors"
OPTIMIZER_FILE = "optimizer.pt"
SCHEDULER_FILE = "scheduler.pt"
STATE_FILE = "state.json"
TRAINER_STATE_FILE = "trainer_state.json"
LINEAGE = "checkpoint-manager"


class CheckpointManager:
    """Saves, finds and loads checkpoints in `checkpoint_dir`, and keeps the newest `max_checkpoints`."""

    def __init__(self, checkpoint_dir: str | Path, max_checkpoints: int = 5) -> None:
        """Raises `ValueError` for less than one, `StorageError` where the directory cannot be written."""
        if max_checkpoints < 1:
            raise ValueError(f"max_checkpoints: {max_checkpoints} keeps nothing. Use at least 1")
        self.checkpoint_dir = Path(checkpoint_dir)
        self.max_checkpoints = max_checkpoints
        self._store = CheckpointStore(
            self.checkpoint_dir.absolute(), keep=max_checkpoints, greater_is_better=False
        )

    def save_checkpoint(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        scheduler: Any,
        step: int,
        loss: float,
        config: TrainingConfig | dict[str, Any] | None = None,
    ) -> str:
        """Writes a checkpoint and removes the oldest; returns its directory. Raises `StorageError`."""
        staged = self._store.staging / f"checkpoint-{step}"
        try:
            self._store.prepare()
            staged.mkdir()
            save_model(model, str(staged / MODEL_FILE))
            torch.save(optimizer.state_dict(), staged / OPTIMIZER_FILE)
            if scheduler is not None:
                torch.save(scheduler.state_dict(), staged / SCHEDULER_FILE)
            plain = asdict(config) if is_dataclass(config) else config
            (staged / STATE_FILE).write_text(json.dumps({"loss": float(loss), "config": plain}))
        except OSError as error:
            raise StorageError(f"checkpoint_dir: {self.checkpoint_dir} cannot be written: {error}") from error
        return str(self._store.commit(staged, _manifest(step)).path)

    def load_checkpoint(
        self,
        path: str | Path,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer | None = None,
        scheduler: Any = None,
    ) -> tuple[int, float, TrainingConfig | None]:
        """Fills model, optimizer and scheduler; returns step, loss and configuration.

        Raises `StorageError` for a checkpoint that is not whole, `RuntimeError` for a model of another shape.
        """
        directory = Path(path)
        try:
            manifest = Manifest.model_validate_json((directory / MANIFEST).read_bytes())
        except (OSError, ValueError) as error:
            raise StorageError(f"{directory} is no checkpoint: its {MANIFEST} cannot be read") from error
        problem = what_is_wrong(directory, manifest.files)
        if problem is not None:
            raise StorageError(f"{directory} is not whole: {problem}. Load another one")
        load_model(model, str(directory / MODEL_FILE))
        if optimizer is not None:
            optimizer.load_state_dict(torch.load(directory / OPTIMIZER_FILE, weights_only=True))
        if scheduler is not None:
            scheduler.load_state_dict(torch.load(directory / SCHEDULER_FILE, weights_only=True))
        loss, config = self._state(directory)
        return manifest.step, loss, config

    def get_latest_checkpoint(self) -> str | None:
        """The directory of the newest whole checkpoint; None when there is none."""
        newest_first = reversed(self._store.all())
        return next((str(found.path) for found in newest_first if self._store.is_whole(found)), None)

    def list_checkpoints(self) -> list[dict[str, Any]]:
        """Step, path, time and size in bytes of each checkpoint, oldest first."""
        return [
            {
                "step": checkpoint.step,
                "path": str(checkpoint.path),
                "time": checkpoint.manifest.time,
                "bytes": checkpoint.manifest.bytes,
            }
            for checkpoint in self._store.all()
        ]

    def _rotate_checkpoints(self) -> None:
        """Removes all but the newest; every save does so by itself."""
        for checkpoint in self._store.all()[: -self.max_checkpoints]:
            shutil.rmtree(checkpoint.path)

    def _state(self, directory: Path) -> tuple[float, TrainingConfig | None]:
        """Loss and configuration: of this class' own state, or as the `Trainer` leaves them."""
        own = directory / STATE_FILE
        if own.exists():
            state = json.loads(own.read_text())
            config = state["config"]
            return state["loss"], TrainingConfig.from_dict(config) if config is not None else None
        history = json.loads((directory / TRAINER_STATE_FILE).read_text())["log_history"]
        losses = [entry["loss"] for entry in history if "loss" in entry]
        # <checkpoint_dir>/checkpoints/<this one>
        settings = directory.parents[1] / "config.yaml"
        return losses[-1], TrainingConfig.from_yaml(settings) if settings.exists() else None


def _manifest(step: int) -> Manifest:
    return Manifest(
        job=LINEAGE,
        job_uid="",
        attempt=1,
        lineage=LINEAGE,
        step=step,
        epoch=0.0,
        world_size=1,
        zero_stage=0,
        deepspeed=False,
        time=datetime.now(UTC),
        libraries=library_versions(),
    )
