"""The HTTPS endpoint: parse, admit, hand over."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from pydantic import ValidationError

from finetune_api import ProgressReport
from finetune_api.protocol import MAX_REPORT_BYTES
from finetune_operator.allowance import Allowance
from finetune_operator.keys import JobKey
from finetune_operator.metrics import Metrics
from finetune_operator.serving.listening import Listener
from finetune_operator.serving.status_server.auth import Authenticator
from finetune_operator.serving.status_server.refusal import RefusedError

logger = logging.getLogger(__name__)

PATH = "/v1alpha1/namespaces/{namespace}/finetunejobs/{job}/attempts/{attempt:[0-9]{1,6}}/status"

READ_SECONDS = 10.0
"""So long may a pod take to send a report; one that stops in the middle would keep a connection for ever."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Receiver = Callable[[JobKey, str, int, ProgressReport], None]
"""Takes a report for an attempt (by its number) of the FineTuneJob with that key and that UID."""


class StatusServer(Listener):
    """Takes progress reports over TLS and passes the good ones to `receive`."""

    def __init__(
        self,
        authenticator: Authenticator,
        allowance: Allowance,
        receive: Receiver,
        metrics: Metrics,
    ) -> None:
        self._authenticator = authenticator
        self._allowance = allowance
        self._receive = receive
        self._metrics = metrics
        app = web.Application(client_max_size=MAX_REPORT_BYTES, middlewares=[self._answer_refusals])
        app.router.add_post(PATH, self._take)
        super().__init__(app)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        key = JobKey(request.match_info["namespace"], request.match_info["job"])
        attempt = int(request.match_info["attempt"])
        reporter = await self._authenticator.admit(_bearer(request), key, attempt)
        if wait := self._allowance.take(key):
            raise RefusedError(429, "TooManyReports", f"{key} reports too often", retry_after=wait)
        report = _parse(await _body(request))
        logger.debug("report for attempt %d of %s from pod %s", attempt, key, reporter.pod.name)
        self._receive(key, reporter.job_uid, attempt, report)
        self._metrics.reports.labels("accepted").inc()
        return web.json_response({"accepted": True})

    @web.middleware
    async def _answer_refusals(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except RefusedError as refusal:
            error = refusal
        except web.HTTPRequestEntityTooLarge:
            error = RefusedError(413, "ReportTooLarge", f"a report has at most {MAX_REPORT_BYTES} bytes")
        except web.HTTPNotFound:
            error = RefusedError(404, "NotFound", f"{request.path} is not the path of an attempt's status")
        except web.HTTPMethodNotAllowed:
            error = RefusedError(405, "MethodNotAllowed", f"a report is a POST, not a {request.method}")
        self._metrics.reports.labels(error.code).inc()
        headers = {} if error.retry_after is None else {"Retry-After": str(max(1, round(error.retry_after)))}
        body = {"error": {"code": error.code, "message": error.message}}
        return web.json_response(body, status=error.status, headers=headers)


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise RefusedError(401, "Unauthorized", "a bearer token is expected in the header Authorization")
    return token.strip()


async def _body(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(READ_SECONDS):
            return await request.read()
    except TimeoutError as error:
        raise RefusedError(408, "ReportTooSlow", f"a report takes {READ_SECONDS:.0f} s at most") from error


def _parse(body: bytes) -> ProgressReport:
    try:
        return ProgressReport.from_json_object(json.loads(body))
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()[:5])
        raise RefusedError(422, "InvalidReport", f"the report breaks the protocol: {found}") from error
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "NotJson", f"the report is not JSON: {error}") from error
