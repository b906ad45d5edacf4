"""The way from an operator to the API server, which can be cut, and can lead to another API server."""

import http.client
import json
import re
import socket
import ssl
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import yaml

from http_server import serving
from onenode import ControlPlane
from onenode.certificates import Authority
from operator_rig import free_port


class Route:
    """A port of this machine that leads to another one. Nothing of what passes is read: it is all TLS."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = free_port()
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []
        self.restore()

    def restore(self) -> None:
        """Let new connections pass."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """End all connections, and refuse new ones."""
        listener, self._listener = self._listener, None
        if listener is not None:
            _close(listener)
        while self._open:
            _close(self._open.pop())

    def lead_to(self, target: int) -> None:
        """End all connections; new ones lead elsewhere."""
        self.cut()
        self.target = target
        self.restore()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self.target))
                except OSError:  # as from a load balancer that has nobody behind it
                    _close(client)
                    continue
                self._open += [client, server]
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=_pass_on, args=ends, daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    _close(sink)


def _close(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@contextmanager
def routed(kubeconfig: Path, folder: Path) -> Iterator[tuple[Route, Path]]:
    """A route to the API server of a kubeconfig, and a kubeconfig that takes it."""
    config = yaml.safe_load(kubeconfig.read_text())
    [cluster] = config["clusters"]
    url = cluster["cluster"]["server"]
    route = Route(int(url.rpartition(":")[2]))
    cluster["cluster"]["server"] = re.sub(r"\d+$", str(route.port), url)
    path = folder / "routed-kubeconfig"
    path.write_text(yaml.safe_dump(config))
    try:
        yield route, path
    finally:
        route.cut()


class BrokenApiServer(BaseHTTPRequestHandler):
    """What a load balancer says that has no API server behind it, an API server without its store, or, where
    all is 200, a proxy that wants to know its users."""

    protocol_version = "HTTP/1.1"
    status: HTTPStatus
    asked: Counter[str]
    """Requests so far, by path."""

    def do_GET(self) -> None:
        self.asked[self.path.partition("?")[0]] += 1
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        status = {"kind": "Status", "code": int(self.status), "message": "no healthy upstream"}
        body = json.dumps(status).encode()
        if self.status is HTTPStatus.OK:
            body = "<html>Bitte anmelden: ohne geht es für niemanden weiter.</html>".encode("latin-1")
        self.send_response(self.status)
        self.send_header("Content-Type", "text/html" if self.status is HTTPStatus.OK else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the base class names them

    def log_message(self, *_: object) -> None:
        """Nothing: the test tells what it saw."""


def trusted_here(control_plane: ControlPlane) -> ssl.SSLContext:
    """What a server of this machine needs for whoever trusts the cluster's authority."""
    pair = Authority(control_plane.folder / "pki", "ca").issue("here", "here", hosts=["127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


@contextmanager
def broken_api_server(control_plane: ControlPlane, status: HTTPStatus) -> Iterator[tuple[int, Counter[str]]]:
    """A server with a certificate that clients of the API server trust, which says `status` to everything.

    Yields its port, and what it was asked so far.
    """
    asked: Counter[str] = Counter()
    handler = type("Broken", (BrokenApiServer,), {"status": status, "asked": asked})
    with serving(handler, trusted_here(control_plane)) as address:
        yield int(address.rpartition(":")[2]), asked


class FailingWatches(BaseHTTPRequestHandler):
    """Passes everything on to the API server but watches, each of which begins well and tells of an error."""

    protocol_version = "HTTP/1.1"
    code: int
    asked: Counter[str]
    """Watches so far, by path."""
    api_server: tuple[int, ssl.SSLContext]

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if "watch=true" in query:
            self.asked[path] += 1
            status = {"kind": "Status", "code": self.code, "reason": "InternalError", "message": "no leader"}
            self._answer(HTTPStatus.OK, json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
        else:
            self._pass_on()

    def _pass_on(self) -> None:
        port, tls = self.api_server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        # a long list would come compressed, and the answer that is passed on does not say so
        headers = {name: value for name, value in self.headers.items() if name != "Accept-Encoding"}
        with closing(http.client.HTTPSConnection("127.0.0.1", port, context=tls)) as connection:
            connection.request(self.command, self.path, body, headers)
            with connection.getresponse() as response:
                status, content, date = response.status, response.read(), response.headers.get("Date")
        self._answer(status, content, date)

    def _answer(self, status: int, body: bytes, date: str | None = None) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if date is not None:
            self.send_header("Date", date)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on  # noqa: N815 - the base class names them

    def log_message(self, *_: object) -> None:
        """Nothing: the test tells what it saw."""


@contextmanager
def failing_watches(control_plane: ControlPlane, port: int, code: int) -> Iterator[tuple[int, Counter[str]]]:
    """The API server at `port`, but for its watches, in each of which comes an error with this code.

    Yields the port to reach it at, and the watches that were begun so far.
    """
    tls = ssl.create_default_context(cafile=control_plane.folder / "pki" / "ca.crt")
    asked: Counter[str] = Counter()
    attributes = {"code": code, "asked": asked, "api_server": (port, tls)}
    handler = type("Failing", (FailingWatches,), attributes)
    with serving(handler, trusted_here(control_plane)) as address:
        yield int(address.rpartition(":")[2]), asked


@contextmanager
def another_api_server(control_plane: ControlPlane) -> Iterator[int]:
    """A second API server over the same store, as where there are several for availability; its port.

    It has the first one's command line, and knows of no change that was made before it started.
    """
    command = _command_of("kube-apiserver", control_plane.folder)
    port = free_port()
    other = {"--secure-port": str(port), "--audit-log-path": str(control_plane.folder / "logs/audit-2.log")}
    given = (argument.partition("=") for argument in command[1:])
    arguments = [f"{flag}={other.get(flag, value)}" for flag, _, value in given]
    with (control_plane.folder / "logs/kube-apiserver-2.log").open("wb") as log:
        process = subprocess.Popen([command[0], *arguments], stdout=log, stderr=log)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def _command_of(program: str, folder: Path) -> list[str]:
    """The command line of the process that runs a program on this folder."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            command = path.read_text().split("\0")[:-1]
            if command and Path(command[0]).name == program and str(folder) in " ".join(command):
                return command
    raise LookupError(f"no {program} runs on {folder}")
