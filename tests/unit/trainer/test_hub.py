"""Pushes to a hub that answers over HTTP: made whole, resumed, or told why not."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from fake_hub import FakeHub, fake_hub
from finetune_api.storage import HubOutputSpec
from finetune_trainer.checkpoints import Checkpoint, CheckpointStore, Manifest
from finetune_trainer.hub import Hub, HubError
from finetune_trainer.hub_saves import WHOLE, HubSaves

pytestmark = pytest.mark.filterwarnings(
    # huggingface_hub 2.4 sends files in a way that its HTTP client no longer likes
    "ignore:Use 'content=:DeprecationWarning"
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    # xet speaks to servers of its own; files go over the hub's HTTP API
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    with fake_hub() as server:
        yield server


def spec(**fields: Any) -> HubOutputSpec:
    secret = {"name": "hub", "key": "token"}
    return HubOutputSpec.from_json_object({"id": "me/model", "tokenSecret": secret} | fields)


def hub_at(server: FakeHub, waits: list[float] | None = None, token: str = "hub-token", **fields: Any) -> Hub:
    waited = waits if waits is not None else []
    return Hub(spec(**fields), token, server.url, delays=(1.0, 2.0), wait=waited.append)


@pytest.fixture
def result(tmp_path: Path) -> Path:
    directory = tmp_path / "adapter"
    directory.mkdir()
    for name, data in {
        "adapter_model.safetensors": b"weights",
        "more.safetensors": b"more weights",
        "README.md": b"---\nlicense: mit\n---\ncard",
    }.items():
        (directory / name).write_bytes(data)
    return directory


def test_a_repository_is_made_and_filled(server: FakeHub, result: Path) -> None:
    commit = hub_at(server).push(result, "adapter after 4 steps")
    assert commit == server.commits[-1]
    assert server.repositories["me/model"]["visibility"] == "private"
    assert server.branches["me/model", "main"] == {path.name: path.read_bytes() for path in result.iterdir()}


def test_another_branch_and_folder(server: FakeHub, result: Path) -> None:
    hub_at(server, revision="v2", private=False).push(result, "merged", into="merged")
    assert server.repositories["me/model"]["visibility"] == "public"
    assert ("POST", "/api/models/me/model/branch/v2") in server.requests
    assert "merged/README.md" in server.branches["me/model", "v2"]


def test_a_push_that_broke_in_the_middle_goes_on_where_it_was(server: FakeHub, result: Path) -> None:
    seen = {"PUT": 0, "commit": 0}

    def second_file_and_first_commit(method: str, path: str) -> int | None:
        what = "PUT" if method == "PUT" else "commit" if "/commit/" in path else ""
        if what:
            seen[what] += 1
        return {("PUT", 2): 507, ("commit", 1): 500}.get((what, seen.get(what, 0)))

    server.fail = second_file_and_first_commit
    waits: list[float] = []
    hub_at(server, waits).push(result, "adapter")
    assert waits == [1.0, 2.0], "once for the file, once for the commit"
    assert seen == {"PUT": 3, "commit": 2}, "the first file was not sent again"
    assert server.branches["me/model", "main"]["more.safetensors"] == b"more weights"
    assert len(server.commits) == 1

    hub_at(server).push(result, "adapter, by a later attempt")
    assert seen["PUT"] == 3


def test_a_hub_that_is_down_is_named_after_the_last_try(server: FakeHub, result: Path) -> None:
    server.fail = lambda _method, path: 503 if path.startswith("/api/repos") else None
    waits: list[float] = []
    with pytest.raises(HubError, match="me/model: HfHubHTTPError"):
        hub_at(server, waits).push(result, "adapter")
    assert waits == [1.0, 2.0]


def test_a_token_that_is_refused_is_not_tried_again(server: FakeHub, result: Path) -> None:
    waits: list[float] = []
    with pytest.raises(HubError, match="401"):
        hub_at(server, waits, token="wrong").push(result, "adapter")
    assert waits == []


def test_no_secret_is_told(server: FakeHub, result: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.fail = lambda method, _path: 507 if method == "PUT" else None
    with pytest.raises(HubError) as told:
        hub_at(server).push(result, "adapter")
    told_and_logged = str(told.value) + "".join(
        record.getMessage() for record in caplog.records if record.name.startswith("finetune")
    )
    assert "upload/" in told_and_logged
    assert "signed-secret" not in told_and_logged
    assert "hub-token" not in told_and_logged
    assert "hub-token" not in caplog.text


def test_the_token_is_the_one_for_writing_where_there_are_two() -> None:
    both = {"FINETUNE_HUB_TOKEN": "write", "HF_TOKEN": "read"}
    assert Hub.of(spec(), both).token == "write"
    assert Hub.of(spec(), {"HF_TOKEN": "read"}).token == "read"
    assert Hub.of(spec(), {}).token is None


def commit_checkpoint(store: CheckpointStore, step: int, files: dict[str, str]) -> Checkpoint:
    staged = store.staging / f"checkpoint-{step}"
    staged.mkdir(parents=True)
    for name, text in files.items():
        (staged / name).write_text(text)
    return store.commit(staged, MANIFEST.model_copy(update={"step": step}))


MANIFEST = Manifest.model_validate(
    {
        "job": "j", "job_uid": "", "attempt": 1, "lineage": "l", "step": 0, "epoch": 0, "world_size": 1,
        "zero_stage": 0, "deepspeed": False, "time": "2026-01-01T00:00:00Z",
    }
)  # fmt: skip


@pytest.mark.parametrize("strategy", ["everySave", "checkpoint"])
def test_each_checkpoint_is_pushed_while_training_goes_on(
    server: FakeHub, tmp_path: Path, strategy: str
) -> None:
    store = CheckpointStore(tmp_path, keep=1, greater_is_better=False)
    store.prepare()
    pushed: list[int] = []
    saves = HubSaves(hub_at(server, strategy=strategy), store, lambda step, _commit: pushed.append(step))
    for step in (2, 4):
        files = {"adapter_model.safetensors": f"w{step}", "optimizer.pt": "o", f"only_{step}.pt": "state"}
        saves.offer(commit_checkpoint(store, step, files))
        wait_until(lambda step=step: step in pushed)
    saves.close(finish=True)
    there = server.branches["me/model", "main"]
    assert there["adapter_model.safetensors"] == b"w4"
    assert "optimizer.pt" not in there
    whole = {name.removeprefix(f"{WHOLE}/") for name in there if name.startswith(WHOLE)}
    expected = {"adapter_model.safetensors", "optimizer.pt", "only_4.pt", "manifest.json"}
    assert whole == (expected if strategy == "checkpoint" else set())
    assert not (store.directory / ".hub").exists()


def test_a_hub_that_is_down_does_not_stop_training(server: FakeHub, tmp_path: Path) -> None:
    server.fail = lambda _method, _path: 403
    store = CheckpointStore(tmp_path, keep=1, greater_is_better=False)
    store.prepare()
    saves = HubSaves(hub_at(server, strategy="everySave"), store, lambda *_pushed: pytest.fail("not pushed"))
    saves.offer(commit_checkpoint(store, 2, {"adapter_model.safetensors": "w2"}))
    saves.close(finish=True)


def wait_until(holds: Any) -> None:
    import threading
    import time

    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)
