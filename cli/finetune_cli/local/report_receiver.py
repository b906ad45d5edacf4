"""A status server for one machine: takes the trainer's reports over HTTP on the loopback interface."""

import hmac
import json
import secrets
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from finetune_api import ProgressReport
from finetune_api.protocol import MAX_REPORT_BYTES, status_path
from finetune_operator.keys import JobKey
from finetune_operator.watching.reports import ReportStore

_UID = ""
"""Outside a cluster a job has no identity beyond its name."""


class ReportReceiver:
    """Listens while it is entered. `notify` is called from another thread whenever a report has come."""

    def __init__(self, key: JobKey, notify: Callable[[], None]) -> None:
        self.token = secrets.token_urlsafe(32)
        self._key = key
        self._notify = notify
        self._store = ReportStore(interval=0.0, clock=time.monotonic)
        self._lock = Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def url(self, attempt: int) -> str:
        """Return the address to which the processes of an attempt report."""
        return f"http://127.0.0.1:{self._server.server_port}{status_path(*self._key, attempt)}"

    def reports(self) -> dict[int, ProgressReport]:
        """Return the newest report of each attempt."""
        with self._lock:
            return self._store.released(self._key, _UID)

    def take(self, path: str, authorization: str, body: bytes) -> HTTPStatus:
        """Accept or refuse one request."""
        if not hmac.compare_digest(authorization, f"Bearer {self.token}"):
            return HTTPStatus.UNAUTHORIZED
        attempt = path.removesuffix("/status").rpartition("/")[2]
        if not attempt.isdecimal() or path != status_path(*self._key, int(attempt)):
            return HTTPStatus.NOT_FOUND
        try:
            report = ProgressReport.from_json_object(json.loads(body))
        except ValidationError:
            return HTTPStatus.UNPROCESSABLE_ENTITY
        except (ValueError, RecursionError):
            return HTTPStatus.BAD_REQUEST
        with self._lock:
            self._store.submit(self._key, _UID, int(attempt), report)
        self._notify()
        return HTTPStatus.OK


def _handler_for(receiver: ReportReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if length > MAX_REPORT_BYTES:
                self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                return
            authorization = self.headers.get("Authorization", "")
            self._answer(receiver.take(self.path, authorization, self.rfile.read(length)))

        def _answer(self, status: HTTPStatus) -> None:
            body = json.dumps({"accepted": status is HTTPStatus.OK}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: a report every few seconds is no news."""

    return Handler
