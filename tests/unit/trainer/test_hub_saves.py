"""Pushes of checkpoints while training goes on."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fake_hub import FakeHub, hub_at
from finetune_trainer.checkpoints import Checkpoint, CheckpointStore
from finetune_trainer.hub_saves import WHOLE, HubSaves
from finetune_trainer.manifest import Manifest

pytestmark = pytest.mark.filterwarnings(
    # huggingface_hub 2.4 sends files in a way that its HTTP client no longer likes
    "ignore:Use 'content=:DeprecationWarning"
)


MANIFEST = Manifest.model_validate(
    {
        "job": "j", "job_uid": "", "attempt": 1, "lineage": "l", "step": 0, "epoch": 0, "world_size": 1,
        "zero_stage": 0, "deepspeed": False, "time": "2026-01-01T00:00:00Z",
    }
)  # fmt: skip


def commit_checkpoint(store: CheckpointStore, step: int, files: dict[str, str]) -> Checkpoint:
    staged = store.staging / f"checkpoint-{step}"
    staged.mkdir(parents=True)
    for name, text in files.items():
        (staged / name).write_text(text)
    return store.commit(staged, MANIFEST.model_copy(update={"step": step}))


@pytest.mark.parametrize("strategy", ["everySave", "checkpoint"])
def test_each_checkpoint_is_pushed_while_training_goes_on(
    hub_server: FakeHub, tmp_path: Path, strategy: str
) -> None:
    store = CheckpointStore(tmp_path, keep=1, greater_is_better=False)
    store.prepare()
    pushed: list[int] = []
    saves = HubSaves(hub_at(hub_server, strategy=strategy), store, lambda step, _commit: pushed.append(step))
    for step in (2, 4):
        files = {"adapter_model.safetensors": f"w{step}", "optimizer.pt": "o", f"only_{step}.pt": "state"}
        saves.offer(commit_checkpoint(store, step, files))
        wait_until(lambda step=step: step in pushed)
    saves.close(finish=True)
    there = hub_server.branches["me/model", "main"]
    assert there["adapter_model.safetensors"] == b"w4"
    assert "optimizer.pt" not in there
    whole = {name.removeprefix(f"{WHOLE}/") for name in there if name.startswith(WHOLE)}
    expected = {"adapter_model.safetensors", "optimizer.pt", "only_4.pt", "manifest.json"}
    assert whole == (expected if strategy == "checkpoint" else set())
    assert not (store.directory / ".hub").exists()


def test_a_hub_that_is_down_does_not_stop_training(hub_server: FakeHub, tmp_path: Path) -> None:
    hub_server.fail = lambda _method, _path: 403
    store = CheckpointStore(tmp_path, keep=1, greater_is_better=False)
    store.prepare()
    saves = HubSaves(
        hub_at(hub_server, strategy="everySave"), store, lambda *_pushed: pytest.fail("not pushed")
    )
    saves.offer(commit_checkpoint(store, 2, {"adapter_model.safetensors": "w2"}))
    saves.close(finish=True)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)
