"""Pushes of checkpoints while training goes on."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from fake_hub import FakeHub, hub_at
from finetune_trainer.checkpoints.manifest import Manifest
from finetune_trainer.checkpoints.store import Checkpoint, CheckpointStore
from finetune_trainer.hub.saves import WHOLE, HubSaves
from finetune_trainer.methods import Start
from waiting import wait_until

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


PLAIN = Start(base="/base", original="/base")


def commit_checkpoint(store: CheckpointStore, step: int, files: Mapping[str, str | bytes]) -> Checkpoint:
    staged = store.staging / f"checkpoint-{step}"
    staged.mkdir(parents=True)
    for name, text in files.items():
        (staged / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return store.commit(staged, MANIFEST.model_copy(update={"step": step}))


@pytest.mark.parametrize("strategy", ["everySave", "checkpoint"])
def test_each_checkpoint_is_pushed_while_training_goes_on(
    hub_server: FakeHub, tmp_path: Path, strategy: str
) -> None:
    store = CheckpointStore(tmp_path, keep=1, greater_is_better=False)
    store.prepare()
    pushed: list[int] = []
    hub = hub_at(hub_server, strategy=strategy)
    saves = HubSaves(hub, store, lambda step, _commit: pushed.append(step), not_given_up, PLAIN)
    for step in (2, 4):
        files = {"adapter_model.safetensors": f"w{step}", "optimizer.pt": "o", f"only_{step}.pt": "state"}
        saves.offer(commit_checkpoint(store, step, files))
        wait_until("the push", lambda step=step: step in pushed)
    saves.close(finish=True)
    there = hub_server.branches["me/model", "main"]
    assert there["adapter_model.safetensors"] == b"w4"
    assert "optimizer.pt" not in there
    whole = {name.removeprefix(f"{WHOLE}/") for name in there if name.startswith(WHOLE)}
    expected = {"adapter_model.safetensors", "optimizer.pt", "only_4.pt", "manifest.json"}
    assert whole == (expected if strategy == "checkpoint" else set())
    assert not (store.directory / ".hub").exists()


def test_a_hub_that_is_down_does_not_stop_training_and_is_told_of(
    hub_server: FakeHub, tmp_path: Path
) -> None:
    hub_server.fail = lambda _method, _path: 403
    store = CheckpointStore(tmp_path, keep=1, greater_is_better=False)
    store.prepare()
    told: list[tuple[int, str]] = []
    saves = HubSaves(
        hub_at(hub_server, strategy="everySave"),
        store,
        lambda *_pushed: pytest.fail("not pushed"),
        lambda step, why: told.append((step, why)),
        PLAIN,
    )
    saves.offer(commit_checkpoint(store, 2, {"adapter_model.safetensors": "w2"}))
    wait_until("the warning", lambda: told)
    saves.close(finish=True)
    ((step, why),) = told
    assert step == 2
    assert "Give a token in output.hub.tokenSecret that may write" in why


def adapter(rank: int, value: float, base: str) -> dict[str, bytes]:
    """Files of an adapter on one linear layer of 8 by 8."""
    config = {"r": rank, "lora_alpha": 2 * rank, "use_rslora": False, "base_model_name_or_path": base}
    name = "base_model.model.layer.lora_{}.weight"
    matrices = {
        name.format("A"): torch.full((rank, 8), value),
        name.format("B"): torch.full((8, rank), value),
    }
    return {"adapter_model.safetensors": save(matrices), "adapter_config.json": json.dumps(config).encode()}


def test_an_adapter_for_a_part_of_the_base_is_pushed_as_one_for_the_base(
    hub_server: FakeHub, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path, keep=1, greater_is_better=False)
    store.prepare()
    first = tmp_path / "residual" / "adapter"
    first.mkdir(parents=True)
    for name, data in adapter(2, 1.0, "residual/base").items():
        (first / name).write_bytes(data)
    pushed: list[int] = []
    start = Start(base="residual/base", original="me/base", adapter=first)
    spec = hub_at(hub_server, strategy="checkpoint")
    saves = HubSaves(spec, store, lambda step, _commit: pushed.append(step), not_given_up, start)
    trained = adapter(2, 3.0, "residual/base")
    checkpoint = commit_checkpoint(store, 2, trained)
    saves.offer(checkpoint)
    wait_until("the push", lambda: pushed == [2])
    saves.close(finish=True)
    there = hub_server.branches["me/model", "main"]
    config = json.loads(there["adapter_config.json"])
    assert (config["base_model_name_or_path"], config["r"]) == ("me/base", 4)
    weights = load(there["adapter_model.safetensors"])
    a, b = (weights[f"base_model.model.layer.lora_{each}.weight"] for each in "AB")
    assert torch.equal(b @ a, torch.full((8, 8), 2 * (3.0 * 3.0 - 1.0)))
    for name, data in trained.items():
        assert there[f"{WHOLE}/{name}"] == data, "what is resumed from goes there as it is"
        assert (checkpoint.path / name).read_bytes() == data


def not_given_up(step: int, why: str) -> None:
    pytest.fail(f"the push of step {step} was given up: {why}")
