"""What keeps Kopf's watches going where Kopf itself would end, and the operator with it.

Kopf begins a watch anew, with a listing, where the API server says that it is too old (410). Any other error
in a stream (an object that can't be read or converted, a store without a leader), a request that is refused
with another 4xx than 401, 403 and 429, and an answer that is no JSON are fatal to it. Here they become what
it lives with: a watch that is too old, and a listing that broke off. Each comes after a pause, and what was
missed is listed then.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from typing import Any, cast

import aiohttp

from finetune_operator.cluster import FINETUNE_JOBS, FINETUNE_PRESETS, JOBS, PODS
from finetune_operator.health import WatchMonitor
from finetune_operator.watching.queue import Backoff

logger = logging.getLogger(__name__)

TOO_OLD = b'{"type": "ERROR", "object": {"kind": "Status", "code": 410}}\n'

_WATCHED = tuple(f"/{resource.plural}" for resource in (FINETUNE_JOBS, FINETUNE_PRESETS, JOBS, PODS))
_TRIED_AGAIN_BY_KOPF = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}
)


def beginning_anew(
    monitor: WatchMonitor, backoff: Backoff, clock: Callable[[], float] = time.monotonic
) -> aiohttp.ClientMiddlewareType:
    """What has a watch, or its listing, begin anew after any failure; `clock` is monotonic, in seconds.

    The pauses grow with failures in a row. A watch that has lasted longer than the longest of them is no
    longer in a row with those before.
    """
    failures: Counter[str] = Counter()

    async def middleware(
        request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        path, began = request.url.path, clock()

        async def pause(why: str) -> None:
            if clock() - began > backoff.maximum:
                del failures[path]
            failures[path] += 1
            delay = backoff.delay(failures[path])
            logger.warning("the watch of %s begins anew in %.1f s: %s", path, delay, why)
            monitor.cut_off(path, why)
            await asyncio.sleep(delay)

        response = await send(request)
        if not path.endswith(_WATCHED):
            return response
        refusal = _refusal(response)
        if "watch" in request.url.query:
            response.status = HTTPStatus.OK if refusal else response.status
            response.content = cast("aiohttp.StreamReader", _Events(response.content, pause, refusal))
        elif refusal:
            response.close()
            await pause(refusal)
            raise aiohttp.ClientPayloadError(refusal)
        return response

    return middleware


def _refusal(response: aiohttp.ClientResponse) -> str:
    """What the answer says that Kopf can't live with; empty if it can."""
    if 400 <= response.status < 500 and response.status not in _TRIED_AGAIN_BY_KOPF:
        return f"{response.status} {response.reason}"
    if response.ok and response.content_type != "application/json":  # the page of some proxy
        return f"{response.status} with {response.content_type}"
    return ""


class _Events:
    """The content of a watch's response: whole events, until one tells of an error, which is said to be 410.

    A last line without its end, which would be no JSON, is left out: the next watch goes on from before it.
    """

    def __init__(
        self, content: aiohttp.StreamReader, pause: Callable[[str], Awaitable[None]], refusal: str
    ) -> None:
        """`refusal` stands for the whole content, unless it is empty."""
        self._content = content
        self._pause = pause
        self._refusal = refusal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Lines, each with its end; what is read from the connection at once is `size` bytes at most."""
        if self._refusal:
            await self._pause(self._refusal)
            yield TOO_OLD
            return
        rest = b""
        async for data in self._content.iter_chunked(size):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if error := _error_in(line):
                    await self._pause(error)
                    yield TOO_OLD
                    return
                yield line + b"\n"


def _error_in(line: bytes) -> str:
    """What an event says that tells of an error; empty if it tells of an object, or is a 410 already."""
    if b'"ERROR"' not in line:
        return ""
    event = json.loads(line)
    status = event.get("object") or {}
    if event.get("type") != "ERROR" or status.get("code") == HTTPStatus.GONE:
        return ""
    return f"{status.get('code')} {status.get('reason')}: {status.get('message')}"
