"""A watch that fails in a way that Kopf would end at becomes one that is too old, after a pause."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from finetune_operator.cluster import JOBS
from finetune_operator.health import WatchMonitor
from finetune_operator.watching import streams
from finetune_operator.watching.queue import Backoff
from finetune_operator.watching.streams import TOO_OLD, beginning_anew

LISTING = "/apis/batch/v1/jobs?limit=500"
WATCH = "/apis/batch/v1/jobs?watch=true&resourceVersion=7"
OTHER = "/apis/kopf.dev"
SEEN = b'{"type":"ADDED","object":{"metadata":{"name":"tune-1"}}}\n'

Ask = Callable[[str], Awaitable[bytes]]


class ApiServer:
    """Answers each request with the same."""

    status = 200
    content_type = "application/json"
    pieces: tuple[bytes, ...] = ()
    lasts = 0.0

    def __init__(self, clock: Any) -> None:
        self.clock = clock

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.clock.advance(self.lasts)
        response = web.StreamResponse(status=self.status, headers={"Content-Type": self.content_type})
        await response.prepare(request)
        for piece in self.pieces:
            await response.write(piece)
        return response


@pytest.fixture
def api(clock: Any) -> ApiServer:
    return ApiServer(clock)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of the pauses, none of which is taken."""
    taken: list[float] = []
    at_once = asyncio.sleep

    async def sleep(seconds: float) -> None:
        taken.append(seconds)
        await at_once(0)

    monkeypatch.setattr(streams.asyncio, "sleep", sleep)
    return taken


@pytest.fixture
def monitor(clock: Any) -> WatchMonitor:
    return WatchMonitor(clock)


@pytest.fixture
async def ask(api: ApiServer, monitor: WatchMonitor, pauses: list[float], clock: Any) -> AsyncIterator[Ask]:
    """A request as Kopf makes it; what it reads."""
    app = web.Application()
    app.router.add_get("/{path:.*}", api.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    root = f"http://127.0.0.1:{runner.addresses[0][1]}"
    session = aiohttp.ClientSession(middlewares=[beginning_anew(monitor, Backoff(1, 8), clock)])

    async def asked(path: str) -> bytes:
        async with session.get(root + path) as response:
            response.raise_for_status()
            return b"".join([data async for data in response.content.iter_chunked(1 << 20)])

    yield asked
    await session.close()
    await runner.cleanup()


def failure(code: int) -> bytes:
    status = {"kind": "Status", "code": code, "reason": "InternalError", "message": "etcd has no leader"}
    return json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"


@pytest.mark.parametrize("code", [403, 429, 500, 504])
async def test_an_error_in_a_stream_says_that_the_watch_is_too_old(
    api: ApiServer, ask: Ask, monitor: WatchMonitor, pauses: list[float], code: int
) -> None:
    api.pieces = (SEEN + failure(code)[:9], failure(code)[9:] + SEEN)
    assert await ask(WATCH) == SEEN + TOO_OLD
    assert len(pauses) == 1
    assert f"{code} InternalError: etcd has no leader" in monitor.refused()["/apis/batch/v1/jobs"]


async def test_what_kopf_lives_with_reaches_it_as_it_is(
    api: ApiServer, ask: Ask, pauses: list[float]
) -> None:
    told = SEEN.replace(b"tune-1", b'says \\"ERROR\\"') + failure(410)
    api.pieces = (told,)
    assert await ask(WATCH) == told
    assert pauses == []


async def test_half_an_event_is_left_to_the_next_watch(api: ApiServer, ask: Ask, pauses: list[float]) -> None:
    api.pieces = (SEEN + SEEN[:20],)
    assert await ask(WATCH) == SEEN
    assert pauses == []


@pytest.mark.parametrize("status", [400, 404, 410])
async def test_a_refusal_that_ends_kopf_begins_anew_too(
    api: ApiServer, ask: Ask, monitor: WatchMonitor, pauses: list[float], status: int
) -> None:
    """404: the kind is gone; 410: the listing's next page is too old."""
    api.status = status
    assert await ask(WATCH) == TOO_OLD
    with pytest.raises(aiohttp.ClientPayloadError, match=str(status)):
        await ask(LISTING)
    assert len(pauses) == 2
    assert str(status) in monitor.refused()["/apis/batch/v1/jobs"]


async def test_the_page_of_a_proxy_is_a_refusal_too(
    api: ApiServer, ask: Ask, monitor: WatchMonitor, pauses: list[float]
) -> None:
    api.content_type, api.pieces = "text/html", (b"<html>Please sign in.</html>",)
    assert await ask(WATCH) == TOO_OLD
    with pytest.raises(aiohttp.ClientPayloadError, match="200 with text/html"):
        await ask(LISTING)
    assert len(pauses) == 2


@pytest.mark.parametrize("status", [401, 403, 429, 503])
async def test_what_kopf_tries_again_itself_is_left_to_it(
    api: ApiServer, ask: Ask, pauses: list[float], status: int
) -> None:
    api.status = status
    for path in (WATCH, LISTING):
        with pytest.raises(aiohttp.ClientResponseError):
            await ask(path)
    assert pauses == []


async def test_what_is_no_watch_of_ours_is_left_alone(api: ApiServer, ask: Ask, pauses: list[float]) -> None:
    api.status = 404
    with pytest.raises(aiohttp.ClientResponseError):
        await ask(OTHER)
    assert pauses == []


async def test_pauses_grow_with_failures_in_a_row(api: ApiServer, ask: Ask, pauses: list[float]) -> None:
    api.pieces = (failure(500),)
    for _ in range(6):
        await ask(WATCH)
    assert pauses[0] <= 1
    assert all(4 <= seconds <= 8 for seconds in pauses[3:])


async def test_a_watch_that_has_lasted_is_not_in_a_row_with_those_before(
    api: ApiServer, ask: Ask, pauses: list[float]
) -> None:
    api.pieces = (failure(500),)
    for _ in range(6):
        await ask(WATCH)
    api.lasts = 9
    await ask(WATCH)
    assert pauses[-1] <= 1


async def test_while_a_watch_fails_it_is_not_called_deaf(
    api: ApiServer, ask: Ask, monitor: WatchMonitor, clock: Any
) -> None:
    monitor.expect(JOBS, 7)
    clock.advance(3600)
    api.pieces = (failure(500),)
    await ask(WATCH)
    assert monitor.deaf() == []
