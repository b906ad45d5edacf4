"""What Kopf's requests tell: when its watches begin, when they begin anew, and when nobody answers."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from finetune_operator.cluster import JOBS
from finetune_operator.health import WatchMonitor
from finetune_operator.watching.handlers import (
    Patience,
    bearing_the_newest_token,
    settings_for,
    telling_of_watches,
)
from finetune_operator.watching.queue import Backoff, KeyedQueue
from finetune_operator.watching.reports import ReportStore
from finetune_operator.watching.state import State

LISTED = "/apis/batch/v1/jobs?limit=500"
WATCHED = "/apis/batch/v1/jobs?watch=true&resourceVersion=7"


class Kopf:
    """Asks as Kopf does."""

    def __init__(self, clock: Any) -> None:
        self.state = State(KeyedQueue(Backoff(1, 1)), ReportStore(0, clock), WatchMonitor(clock))
        self.watching = asyncio.Event()
        self.root = ""
        self.configuration = Configuration()
        self.tokens: list[str | None] = []
        self.answer = 200
        traces = [
            telling_of_watches(self.state, self.watching),
            bearing_the_newest_token(self.configuration),
        ]
        self.session = aiohttp.ClientSession(trace_configs=traces)

    async def asks(self, *paths: str) -> None:
        for path in paths:
            async with self.session.get(self.root + path):
                pass


@pytest.fixture
async def kopf(clock: Any) -> AsyncIterator[Kopf]:
    async def answer(request: web.Request) -> web.Response:
        asking.tokens.append(request.headers.get("Authorization"))
        return web.json_response({}, status=asking.answer)

    asking = Kopf(clock)
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    asking.root = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield asking
    await asking.session.close()
    await runner.cleanup()


async def test_discovery_is_over_at_the_first_request_for_jobs(kopf: Kopf) -> None:
    await kopf.asks("/api/v1", "/apis", "/apis/finetune.dev/v1alpha1")
    assert not kopf.watching.is_set()
    await kopf.asks("/apis/finetune.dev/v1alpha1/finetunejobs?watch=true")
    assert kopf.watching.is_set()


async def test_a_watch_after_a_listing_has_missed_deletions(kopf: Kopf) -> None:
    await kopf.asks(LISTED)
    assert not kopf.state.deletions_missed.is_set(), "what is deleted now, the watch will tell"
    await kopf.asks(WATCHED)
    assert kopf.state.deletions_missed.is_set()


async def test_a_watch_that_goes_on_where_it_broke_off_has_missed_nothing(kopf: Kopf) -> None:
    await kopf.asks(LISTED, WATCHED)
    kopf.state.deletions_missed.clear()
    await kopf.asks(WATCHED, WATCHED)
    assert not kopf.state.deletions_missed.is_set()


async def test_while_nobody_answers_no_watch_is_called_deaf(kopf: Kopf, clock: Any) -> None:
    kopf.state.monitor.expect(JOBS, 7)
    clock.advance(3600)
    kopf.root = "http://127.0.0.1:1"
    with pytest.raises(aiohttp.ClientConnectionError):
        await kopf.asks(WATCHED)
    assert kopf.state.monitor.deaf() == []
    assert kopf.state.monitor.refused().keys() == {"/apis/batch/v1/jobs"}


@pytest.mark.parametrize("status", [403, 429, 500, 503])
async def test_a_watch_that_is_refused_is_known_until_it_is_served(
    kopf: Kopf, clock: Any, status: int
) -> None:
    kopf.state.monitor.expect(JOBS, 7)
    clock.advance(3600)
    kopf.answer = status
    await kopf.asks(WATCHED)
    assert str(status) in kopf.state.monitor.refused()["/apis/batch/v1/jobs"]
    assert kopf.state.monitor.deaf() == []
    kopf.answer = 200
    await kopf.asks(WATCHED)
    assert kopf.state.monitor.refused() == {}


def test_a_watch_is_never_given_up_and_waits_no_longer_than_is_useful() -> None:
    backoffs = settings_for(Patience(Backoff(0.5, 10))).networking.error_backoffs
    assert isinstance(backoffs, Patience)
    for _ in ("each request", "and the next one"):
        waits = list(itertools.islice(backoffs, 1000))
        assert waits[0] <= 0.5
        assert all(5 <= seconds <= 10 for seconds in waits[6:])


async def test_each_request_bears_the_token_that_holds_now(kopf: Kopf) -> None:
    """An old one would be refused, and Kopf does not always survive that."""
    kopf.configuration.api_key["BearerToken"] = "first"
    kopf.configuration.api_key_prefix["BearerToken"] = "Bearer"
    await kopf.asks(WATCHED)
    kopf.configuration.api_key["BearerToken"] = "second"
    await kopf.asks(WATCHED)
    assert kopf.tokens == ["Bearer first", "Bearer second"]
