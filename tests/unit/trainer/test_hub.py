"""Pushes to a hub that answers over HTTP: made whole, resumed, or told why not."""

import logging
from pathlib import Path

import pytest

from fake_hub import FakeHub, hub_at, hub_spec
from finetune_trainer.hub import Hub, HubError

pytestmark = pytest.mark.filterwarnings(
    # huggingface_hub 2.4 sends files in a way that its HTTP client no longer likes
    "ignore:Use 'content=:DeprecationWarning"
)


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


def test_a_repository_is_made_and_filled(hub_server: FakeHub, result: Path) -> None:
    commit = hub_at(hub_server).push(result, "adapter after 4 steps")
    assert commit == hub_server.commits[-1]
    assert hub_server.repositories["me/model"]["visibility"] == "private"
    assert hub_server.branches["me/model", "main"] == {
        path.name: path.read_bytes() for path in result.iterdir()
    }


def test_another_branch_and_folder(hub_server: FakeHub, result: Path) -> None:
    hub_at(hub_server, revision="v2", private=False).push(result, "merged", into="merged")
    assert hub_server.repositories["me/model"]["visibility"] == "public"
    assert ("POST", "/api/models/me/model/branch/v2") in hub_server.requests
    assert "merged/README.md" in hub_server.branches["me/model", "v2"]


def test_a_push_that_broke_in_the_middle_goes_on_where_it_was(hub_server: FakeHub, result: Path) -> None:
    seen = {"PUT": 0, "commit": 0}

    def second_file_and_first_commit(method: str, path: str) -> int | None:
        what = "PUT" if method == "PUT" else "commit" if "/commit/" in path else ""
        if what:
            seen[what] += 1
        return {("PUT", 2): 507, ("commit", 1): 500}.get((what, seen.get(what, 0)))

    hub_server.fail = second_file_and_first_commit
    waits: list[float] = []
    hub_at(hub_server, waits).push(result, "adapter")
    assert waits == [1.0, 2.0], "once for the file, once for the commit"
    assert seen == {"PUT": 3, "commit": 2}, "the first file was not sent again"
    assert hub_server.branches["me/model", "main"]["more.safetensors"] == b"more weights"
    assert len(hub_server.commits) == 1

    hub_at(hub_server).push(result, "adapter, by a later attempt")
    assert seen["PUT"] == 3


def test_a_hub_that_is_down_is_named_after_the_last_try(hub_server: FakeHub, result: Path) -> None:
    hub_server.fail = lambda _method, path: 503 if path.startswith("/api/repos") else None
    waits: list[float] = []
    with pytest.raises(HubError, match="me/model: HfHubHTTPError"):
        hub_at(hub_server, waits).push(result, "adapter")
    assert waits == [1.0, 2.0]


def test_a_token_that_is_refused_is_not_tried_again(hub_server: FakeHub, result: Path) -> None:
    waits: list[float] = []
    with pytest.raises(HubError, match="401"):
        hub_at(hub_server, waits, token="wrong").push(result, "adapter")
    assert waits == []


def test_no_secret_is_told(hub_server: FakeHub, result: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    hub_server.fail = lambda method, _path: 507 if method == "PUT" else None
    with pytest.raises(HubError) as told:
        hub_at(hub_server).push(result, "adapter")
    told_and_logged = str(told.value) + "".join(
        record.getMessage() for record in caplog.records if record.name.startswith("finetune")
    )
    assert "upload/" in told_and_logged
    assert "signed-secret" not in told_and_logged
    assert "hub-token" not in told_and_logged
    assert "hub-token" not in caplog.text


def test_the_token_is_the_one_for_writing_where_there_are_two() -> None:
    both = {"FINETUNE_HUB_TOKEN": "write", "HF_TOKEN": "read"}
    assert Hub.of(hub_spec(), both).token == "write"
    assert Hub.of(hub_spec(), {"HF_TOKEN": "read"}).token == "read"
    assert Hub.of(hub_spec(), {}).token is None
