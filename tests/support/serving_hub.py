"""A Hugging Face hub to download from: enough of its HTTP API for transformers and datasets."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from http_server import serving

COMMIT = "0123456789abcdef0123456789abcdef01234567"
API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/[^/]+(?:/(.*))?)?")
FILE = re.compile(r"/((?:datasets/)?[^/]+/[^/]+)/resolve/[^/]+/(.+)")

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class ServingHub:
    """What it holds, by `me/model` or `datasets/me/data`, and what it was asked."""

    repositories: dict[str, dict[str, bytes]]
    token: str = "hub-token"
    gated: set[str] = field(default_factory=set)
    """Repositories whose conditions the token's owner has not accepted."""
    url: str = ""
    is_down: bool = False
    requests: list[str] = field(default_factory=list)

    def answer(self, method: str, path: str, token: str | None, body: bytes) -> Answer:
        """Status, headers and body for a request."""
        self.requests.append(f"{method} {path}")
        if self.is_down:
            return 503, {"Retry-After": "0"}, b""  # else the library waits the longer, try by try
        if token != f"Bearer {self.token}":
            return _error(401, "RepoNotFound")
        if match := FILE.fullmatch(path):
            return self._file(match.group(1), unquote(match.group(2)))
        if match := API.fullmatch(path):
            kind, name, what, place = match.groups()
            repository = name if kind == "models" else f"datasets/{name}"
            if repository not in self.repositories:
                return _error(404, "RepoNotFound")
            files = self.repositories[repository]
            if what == "tree":
                inside = {path: data for path, data in files.items() if path.startswith(place or "")}
                return _json([_entry(*item) for item in inside.items()])
            if what == "paths-info":
                asked = parse_qs(body.decode())["paths"]
                return _json([_entry(path, files[path]) for path in asked if path in files])
            names = [{"rfilename": path} for path in files]
            return _json({"id": name, "sha": COMMIT, "siblings": names, "tags": [], "downloads": 0})
        return _error(404, "EntryNotFound")

    def _file(self, repository: str, name: str) -> Answer:
        if repository in self.gated:
            return _error(403, "GatedRepo")
        if repository not in self.repositories:
            return _error(404, "RepoNotFound")
        data = self.repositories[repository].get(name)
        if data is None:
            return _error(404, "EntryNotFound")
        return 200, {"ETag": f'"{hashlib.sha1(data).hexdigest()}"'}, data


@contextmanager
def serving_hub(repositories: dict[str, dict[str, bytes]]) -> Iterator[ServingHub]:
    """A hub on a socket of this machine, until the block ends."""
    hub = ServingHub(repositories)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = urlsplit(self.path).path
            status, headers, data = hub.answer(self.command, path, self.headers.get("Authorization"), body)
            self.send_response(status)
            for name, value in {"X-Repo-Commit": COMMIT, **headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_HEAD = do_POST = _handle  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with serving(Handler) as hub.url:
        yield hub


def _json(document: Any) -> Answer:
    return 200, {"Content-Type": "application/json"}, json.dumps(document).encode()


def _error(status: int, code: str) -> Answer:
    return status, {"X-Error-Code": code, "X-Error-Message": code}, b"{}"


def _entry(name: str, data: bytes) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
