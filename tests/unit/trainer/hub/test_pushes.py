"""Pushes to a hub that answers over HTTP: made whole, resumed, or told why not."""

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fake_hub import HUNG_UP, FakeHub, hub_at, hub_spec
from finetune_trainer.__main__ import log_to_stderr
from finetune_trainer.hub.pushes import Hub, HubError

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


def test_a_model_replaces_one_in_other_pieces_and_leaves_other_files_alone(
    hub_server: FakeHub, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "checkpoint", tmp_path / "model"
    for directory, names in {
        whole: ["model.safetensors", "config.json"],
        cut: ["model-00001-of-00001.safetensors", "model.safetensors.index.json"],
    }.items():
        directory.mkdir()
        for name in names:
            (directory / name).write_text(name)
    hub_server.publish("me/model", {"README.md": b"mine", "merged/model.safetensors": b"merged"})
    hub = hub_at(hub_server)
    hub.push(whole, "step 2")
    hub.push(cut, "model after 4 steps")
    assert sorted(hub_server.branches["me/model", "main"]) == [
        "README.md",
        "config.json",
        "merged/model.safetensors",
        "model-00001-of-00001.safetensors",
        "model.safetensors.index.json",
    ]


def test_what_is_to_be_private_does_not_go_where_everybody_can_read_it(
    hub_server: FakeHub, result: Path
) -> None:
    hub_at(hub_server, private=False).push(result, "for everybody")
    waits: list[float] = []
    with pytest.raises(HubError, match=r"everybody can read this repository, and output.hub.private is true"):
        hub_at(hub_server, waits).push(result, "for me")
    assert (waits, len(hub_server.commits)) == ([], 1)


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


def test_a_hub_that_comes_back_gets_all(hub_server: FakeHub, result: Path) -> None:
    waits: list[float] = []
    hub_server.fail = lambda _method, _path: 503 if len(waits) < 2 else None
    hub_at(hub_server, waits).push(result, "adapter")
    assert waits == [1.0, 2.0]
    assert set(hub_server.branches["me/model", "main"]) == {path.name for path in result.iterdir()}


def test_a_token_that_is_refused_is_not_tried_again(hub_server: FakeHub, result: Path) -> None:
    waits: list[float] = []
    with pytest.raises(HubError, match=r"401 .*\. Put a valid token that may write into output"):
        hub_at(hub_server, waits, token="wrong").push(result, "adapter")
    assert waits == []


@pytest.mark.parametrize(
    ("where", "status", "way_out"),
    [
        ("/preupload/", 403, "Give a token in output.hub.tokenSecret that may write to this repository"),
        ("/commit/", 403, "Give a token in output.hub.tokenSecret that may write to this repository"),
        ("/objects/batch", 413, "Make the files smaller (output.maxShardSizeGB)"),
        ("/upload/", 413, "Make the files smaller (output.maxShardSizeGB)"),
        ("/commit/", 404, "Check output.hub.id"),
    ],
)
def test_a_refusal_is_told_at_once_with_the_way_out(
    hub_server: FakeHub, result: Path, where: str, status: int, way_out: str
) -> None:
    hub_server.fail = lambda _method, path: status if where in path else None
    waits: list[float] = []
    with pytest.raises(HubError) as told:
        hub_at(hub_server, waits).push(result, "adapter")
    assert waits == []
    assert str(told.value).startswith("me/model: HfHubHTTPError: ")
    assert str(status) in str(told.value)
    assert way_out in str(told.value)
    assert not hub_server.commits


@pytest.mark.parametrize("trouble", [403, HUNG_UP], ids=["its signed address has run out", "it hangs up"])
def test_a_file_whose_upload_breaks_is_the_only_one_that_is_sent_again(
    hub_server: FakeHub, result: Path, monkeypatch: pytest.MonkeyPatch, trouble: int
) -> None:
    # the library's own tries for a connection that is lost, which it waits between
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _seconds: None)
    sent: list[str] = []
    broken: set[str] = set()

    def second_file(method: str, path: str) -> int | None:
        if method != "PUT":
            return None
        sent.append(path)
        first_there = len(hub_server.blobs) == 1
        if first_there and not broken:
            broken.add(path)
            return trouble
        return None

    hub_server.fail = second_file
    hub_at(hub_server).push(result, "adapter")
    assert len(sent) == 3
    assert sent.count(broken.pop()) == 2
    assert hub_server.branches["me/model", "main"]["more.safetensors"] == b"more weights"


PUSH = """
import sys
from pathlib import Path
from fake_hub import hub_spec
from finetune_trainer.hub.pushes import Hub
Hub(hub_spec(), "hub-token", sys.argv[1]).push(Path(sys.argv[2]), "adapter")
"""


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_pushes_has_not_sent_its_files_for_nothing(
    hub_server: FakeHub, result: Path
) -> None:
    half_way, killed = threading.Event(), threading.Event()

    def hang(method: str, _path: str) -> int | None:
        if method != "PUT" or not hub_server.blobs:
            return None
        half_way.set()
        killed.wait(60)
        return HUNG_UP

    hub_server.fail = hang
    command = [sys.executable, "-W", "ignore", "-c", PUSH, hub_server.url, str(result)]
    of_the_hub = {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=os.environ | of_the_hub) as process:
        assert half_way.wait(60)
        process.kill()
    killed.set()
    assert not hub_server.commits

    hub_server.fail = lambda _method, _path: None
    before = hub_server.uploads()
    hub_at(hub_server).push(result, "adapter, by the next attempt")
    assert hub_server.uploads() == before + 1
    assert len(hub_server.commits) == 1
    assert hub_server.branches["me/model", "main"]["adapter_model.safetensors"] == b"weights"


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


def test_addresses_that_are_signed_are_not_logged(
    hub_server: FakeHub, result: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr()
    hub_at(hub_server).push(result, "adapter")
    assert hub_server.uploads() == 2
    logged = capsys.readouterr().err
    assert "signed-secret" not in logged
    assert "/upload/" not in logged


def test_the_token_is_the_one_for_writing_where_there_are_two() -> None:
    both = {"FINETUNE_HUB_TOKEN": "write", "HF_TOKEN": "read"}
    assert Hub.of(hub_spec(), both).token == "write"
    assert Hub.of(hub_spec(), {"HF_TOKEN": "read"}).token == "read"
    assert Hub.of(hub_spec(), {}).token is None
