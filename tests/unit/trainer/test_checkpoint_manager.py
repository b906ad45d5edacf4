"""Checkpoints for a training loop of one's own."""

from pathlib import Path
from typing import Any

import pytest
import torch

from finetune_trainer.checkpoint import CheckpointManager
from finetune_trainer.errors import StorageError
from finetune_trainer.python_api.config import TrainingConfig
from finetune_trainer.scheduler import get_scheduler


def parts() -> tuple[torch.nn.Module, torch.optim.Optimizer, Any]:
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    return model, optimizer, get_scheduler("linear", optimizer, warmup_steps=1, total_steps=10)


def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, scheduler: Any) -> None:
    model(torch.ones(3)).backward()
    optimizer.step()
    scheduler.step()
    optimizer.zero_grad()


def test_what_was_saved_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path)
    model, optimizer, scheduler = parts()
    step(model, optimizer, scheduler)
    config = TrainingConfig(max_steps=7)
    path = manager.save_checkpoint(model, optimizer, scheduler, step=1, loss=2.34, config=config)
    step(model, optimizer, scheduler)

    again = parts()
    assert manager.load_checkpoint(path, *again) == (1, 2.34, config)
    step(*again)
    assert torch.equal(again[0].weight, model.weight)
    assert again[2].get_last_lr() == scheduler.get_last_lr()


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path, max_checkpoints=2)
    assert manager.get_latest_checkpoint() is None
    for number in (10, 20, 30):
        newest = manager.save_checkpoint(*parts(), step=number, loss=1.0)
    assert [checkpoint["step"] for checkpoint in manager.list_checkpoints()] == [20, 30]
    assert manager.get_latest_checkpoint() == newest


def test_a_torn_checkpoint_is_passed_over_and_not_loaded(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path)
    whole, torn = (manager.save_checkpoint(*parts(), step=number, loss=1.0) for number in (1, 2))
    (Path(torn) / "optimizer.pt").write_bytes(b"half")
    assert manager.get_latest_checkpoint() == whole
    with pytest.raises(StorageError, match=r"not whole: optimizer\.pt"):
        manager.load_checkpoint(torn, *parts())


def test_something_else_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is no checkpoint"):
        CheckpointManager(tmp_path).load_checkpoint(tmp_path, torch.nn.Linear(1, 1))


def test_a_manager_keeps_something(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_checkpoints: 0"):
        CheckpointManager(tmp_path, max_checkpoints=0)
