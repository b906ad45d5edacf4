"""A small Hugging Face hub: enough of its HTTP API for huggingface_hub to create repositories, to push and to
download, and for datasets to load a data set."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote, urlsplit

from finetune_api.storage import HubOutputSpec
from finetune_trainer.hub.pushes import Hub
from http_server import serving

HUNG_UP = 0


@dataclass
class FakeHub:
    """What the server holds, and what it was asked. `fail` says, by method and path, with which status a
    request fails."""

    token: str = "hub-token"
    url: str = ""
    repositories: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings with which each was created."""
    branches: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    """Files of each repository and branch."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    """Large files by their SHA-256."""
    commits: list[str] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    fail: Callable[[str, str], int | None] = lambda _method, _path: None
    """`HUNG_UP` for a connection that ends without an answer."""

    def publish(self, repository: str, files: dict[str, bytes]) -> None:
        """Puts files on the main branch of `me/model` or `datasets/me/data`."""
        self.branches[repository, "main"] = files
        self.commits.append(f"{len(self.commits) + 1:040x}")

    def uploads(self) -> int:
        """Large files that were sent, as often as they were."""
        return sum(method == "PUT" for method, _ in self.requests)

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Status and JSON body for a request."""
        self.requests.append((method, path))
        if (status := self.fail(method, path)) == HUNG_UP:
            raise ConnectionAbortedError
        if status is not None:
            return status, {"error": "out of order"}
        if method == "PUT":
            self.blobs[hashlib.sha256(body).hexdigest()] = body
            return 200, {}
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path.endswith(".git/info/lfs/objects/batch"):
            return 200, {
                "transfer": "basic",
                "objects": [self._lfs(each) for each in json.loads(body)["objects"]],
            }
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(\w+)/(.+))?", path):
            repository, what, branch = match.group(1), match.group(2), unquote(match.group(3) or "main")
            files = self.branches.setdefault((repository, branch), {})
            match what:
                case "branch":
                    return 200, {}
                case "preupload":
                    return 200, {"files": [_mode(each) for each in json.loads(body)["files"]]}
                case "commit":
                    return 200, self._commit(repository, files, body)
                case "tree":
                    return 200, [_entry(name, data) for name, data in files.items()]
                case _ if self.commits or repository in self.repositories:
                    private = self.repositories.get(repository, {}).get("visibility") == "private"
                    sha = self.commits[-1] if self.commits else None
                    return 200, {"id": repository, "private": private, "sha": sha, "siblings": []}
        return 404, {"error": f"{method} {path}"}

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        if name in self.repositories:
            return 409, {"error": "exists", "url": f"{self.url}/{name}"}
        self.repositories[name] = asked
        return 200, {"url": f"{self.url}/{name}", "id": name}

    def _lfs(self, wanted: dict[str, Any]) -> dict[str, Any]:
        known = {"oid": wanted["oid"], "size": wanted["size"]}
        if wanted["oid"] in self.blobs:
            return known
        href = f"{self.url}/upload/{wanted['oid']}?signature=signed-secret"
        return known | {"actions": {"upload": {"href": href}}}

    def _commit(self, repository: str, files: dict[str, bytes], body: bytes) -> dict[str, Any]:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            match line["key"]:
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.blobs[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        number = f"{len(self.commits) + 1:040x}"
        self.commits.append(number)
        return {"commitUrl": f"{self.url}/{repository}/commit/{number}", "commitOid": number}


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """A hub on a socket of this machine, until the block ends."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = urlsplit(self.path).path
            allowed = self.command == "PUT" or self.headers.get("Authorization") == f"Bearer {hub.token}"
            try:
                status, data = hub.answer(self.command, path, body) if allowed else (401, {"error": "who?"})
            except ConnectionAbortedError:
                self.close_connection = True
                return
            payload = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_PUT = _handle  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with serving(Handler) as hub.url:
        yield hub


def _mode(file: dict[str, Any]) -> dict[str, Any]:
    large = file["path"].endswith((".safetensors", ".bin", ".pt", ".pth"))
    return {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}


def _entry(name: str, data: bytes) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}


def hub_spec(**fields: Any) -> HubOutputSpec:
    """`output.hub` of a job that pushes to me/model."""
    secret = {"name": "hub", "key": "token"}
    return HubOutputSpec.from_json_object({"id": "me/model", "tokenSecret": secret} | fields)


def hub_at(server: FakeHub, waits: list[float] | None = None, token: str = "hub-token", **fields: Any) -> Hub:
    """The repository me/model on the server; waits between tries are noted instead of waited for."""
    waited = waits if waits is not None else []
    return Hub(hub_spec(**fields), token, server.url, delays=(1.0, 2.0), wait=waited.append)
