"""Data over HTTP: fetched once, whole, from where it was asked for, and nothing secret is told."""

import hashlib
import io
import threading
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from finetune_api import ResolvedJob
from finetune_api.dataset import HttpSource
from finetune_trainer.data import download
from finetune_trainer.data.download import fetch, fetch_sources
from finetune_trainer.errors import DataError, InvalidConfigError, TrainerError

CONTENT = b'{"instruction": "a", "output": "b"}\n'


class Server(ThreadingHTTPServer):
    """Serves one file, and what can go wrong with it."""

    asked: list[str]
    tokens: list[str | None]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.tokens.append(self.headers.get("Authorization"))
        name = self.path.partition("?")[0]
        targets = {
            "/moved": f"{self.server.url}/train.jsonl",
            "/away": f"http://localhost:{self.server.server_port}/train.jsonl",
            "/local": "file:///etc/hostname",
            "/loop": "/loop",
        }
        if name in targets:
            self.send_response(302)
            self.send_header("Location", targets[name])
            self.end_headers()
        elif name in {"/missing", "/broken"}:
            self.send_error(404 if name == "/missing" else 503)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT) + (10 if name == "/short" else 0)))
            self.end_headers()
            self.wfile.write(CONTENT)

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the test's output clean."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        running.asked, running.tokens = [], []
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def source(server: Server, path: str, **fields: str) -> HttpSource:
    return HttpSource(url=server.url + path, **fields)


def test_a_file_is_fetched_once_under_its_own_name(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        path = fetch(source(server, "/some/train.jsonl?version=2"), tmp_path)
        assert path.name == "train.jsonl"
        assert path.read_bytes() == CONTENT
    assert server.asked == ["/some/train.jsonl?version=2"]


def test_a_job_gets_the_path_of_its_file(
    server: Server, tmp_path: Path, make_job: Callable[..., ResolvedJob]
) -> None:
    job = make_job()
    given = job.spec.dataset.model_copy(
        update={"train": job.spec.dataset.train.model_copy(update={"http": source(server, "/train.jsonl")})}
    )
    found = fetch_sources(job.model_copy(update={"spec": job.spec.model_copy(update={"dataset": given})}))
    assert found.paths.train is not None
    assert Path(found.paths.train).read_bytes() == CONTENT
    assert found.paths.eval is None


def test_a_file_that_is_what_it_should_be_is_taken_and_another_is_not(server: Server, tmp_path: Path) -> None:
    right = hashlib.sha256(CONTENT).hexdigest()
    assert fetch(source(server, "/train.jsonl", sha256=right), tmp_path / "a").exists()
    with pytest.raises(DataError, match=f"its SHA-256 is {right}, dataset's http.sha256 says 0000"):
        fetch(source(server, "/train.jsonl", sha256="0" * 64), tmp_path / "b")
    assert not list((tmp_path / "b").rglob("*.jsonl"))


def test_a_file_that_is_there_is_not_taken_for_one_with_another_hash(server: Server, tmp_path: Path) -> None:
    right = hashlib.sha256(CONTENT).hexdigest()
    fetch(source(server, "/train.jsonl"), tmp_path)
    with pytest.raises(DataError, match=f"its SHA-256 is {right}, dataset's http.sha256 says 0000"):
        fetch(source(server, "/train.jsonl", sha256="0" * 64), tmp_path)
    for _ in range(2):
        fetch(source(server, "/train.jsonl", sha256=right), tmp_path)
    assert len(server.asked) == 3


def test_a_file_has_its_name_only_once_it_is_on_disk(
    server: Server, tmp_path: Path, flushed: list[Path]
) -> None:
    path = fetch(source(server, "/train.jsonl"), tmp_path)
    staged, *directories = flushed
    assert (staged.parent, staged.suffix) == (path.parent, ".tmp")
    assert directories == [path.parent, tmp_path]


def test_redirects_are_followed_within_http_only(server: Server, tmp_path: Path) -> None:
    assert fetch(source(server, "/moved"), tmp_path).read_bytes() == CONTENT
    for path in ("/local", "/loop"):
        with pytest.raises(DataError, match=f"{path}: is redirected too often, or to what is not HTTP"):
            fetch(source(server, path), tmp_path)


def test_a_safe_connection_is_never_left_for_an_open_one() -> None:
    request = urllib.request.Request("https://example.org/a?token=secret")
    redirects = download._Redirects()
    body = io.BytesIO()
    with pytest.raises(DataError, match="a: is redirected from https to http, which is refused") as caught:
        redirects.redirect_request(request, body, 302, "", Message(), "http://example.org/a")
    assert "secret" not in str(caught.value)
    assert redirects.redirect_request(request, body, 302, "", Message(), "https://example.org/b") is not None


def test_what_is_too_large_is_not_kept(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "LARGEST_BYTES", 10)
    with pytest.raises(DataError, match="is larger than 10 bytes"):
        fetch(source(server, "/train.jsonl"), tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]


@pytest.mark.parametrize(
    ("path", "kind", "problem"),
    [
        ("/missing", DataError, "the server answers 404 Not Found"),
        ("/broken", TrainerError, "the server answers 503"),
        ("/short", TrainerError, r"the connection ended after \d+ of \d+ bytes"),
    ],
)
def test_a_server_that_fails_is_named_without_what_may_be_secret(
    server: Server, tmp_path: Path, path: str, kind: type[TrainerError], problem: str
) -> None:
    with pytest.raises(kind, match=problem) as caught:
        fetch(source(server, f"{path}?token=secret"), tmp_path)
    assert type(caught.value) is kind
    assert "secret" not in str(caught.value)


def test_a_server_that_is_not_there_may_be_tried_again_later(server: Server, tmp_path: Path) -> None:
    nobody = server.url.rpartition(":")[0] + ":1"
    with pytest.raises(TrainerError, match="cannot be fetched") as caught:
        fetch(HttpSource(url=f"{nobody}/train.jsonl"), tmp_path)
    assert type(caught.value) is TrainerError


@pytest.mark.parametrize(
    ("path", "name"),
    [("/a/b.jsonl.gz", "b.jsonl.gz"), ("/", "data"), ("/..%2F..%2Fetc", "etc"), ("/.hidden", "hidden")],
)
def test_the_name_of_a_file_leads_nowhere_else(server: Server, tmp_path: Path, path: str, name: str) -> None:
    found = fetch(source(server, path), tmp_path)
    assert found.name == name
    assert found.resolve().is_relative_to(tmp_path.resolve())


def test_a_token_is_sent_to_its_own_server_only(server: Server, tmp_path: Path) -> None:
    fetch(source(server, "/train.jsonl"), tmp_path / "none")
    fetch(source(server, "/moved"), tmp_path / "same", "secret")
    fetch(source(server, "/away"), tmp_path / "other", "secret")
    assert server.tokens == [None, "Bearer secret", "Bearer secret", "Bearer secret", None]


def test_a_job_s_token_comes_from_the_environment(
    server: Server, make_job: Callable[..., ResolvedJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    http = {"url": f"{server.url}/train.jsonl", "tokenSecret": {"name": "store", "key": "token"}}
    job = make_job({"dataset": {"train": {"path": None, "http": http}}})
    with pytest.raises(InvalidConfigError, match=r"^dataset\.train: FINETUNE_TRAIN_HTTP_TOKEN is not in the"):
        fetch_sources(job)
    monkeypatch.setenv("FINETUNE_TRAIN_HTTP_TOKEN", "secret\n")
    fetch_sources(job)
    assert server.tokens == ["Bearer secret"]
