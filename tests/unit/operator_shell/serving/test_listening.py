"""The operator's servers are reached in clusters of IPv4, of IPv6 and of both."""

import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from finetune_operator.serving.listening import EVERYWHERE, Listener
from finetune_operator.settings import Settings


async def answer(_: web.Request) -> web.Response:
    return web.Response(text="ok")


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    app = web.Application()
    app.router.add_get("/healthz", answer)
    running = Listener(app)
    yield running
    await running.stop()


async def reached(address: str, port: int) -> bool:
    url = f"http://{address}:{port}/healthz"
    try:
        async with aiohttp.ClientSession() as client, client.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientConnectorError:
        return False


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


async def test_by_default_every_address_is_listened_at(listener: Listener) -> None:
    settings = Settings.model_validate({"namespace": "x", "trainer": {"image": "y"}, "webhook": {}})
    assert settings.webhook is not None
    hosts = {settings.http_host, settings.status_server.host, settings.webhook.host}
    assert hosts == {EVERYWHERE}
    port = await listener.start(EVERYWHERE, 0)
    assert await reached("127.0.0.1", port)
    assert await reached("[::1]", port) == has_ipv6()


async def test_without_ipv6_there_is_ipv4(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    port = await listener.start(EVERYWHERE, 0)
    assert await reached("127.0.0.1", port)


async def test_a_host_that_is_given_is_the_only_one(listener: Listener) -> None:
    port = await listener.start("127.0.0.1", 0)
    assert await reached("127.0.0.1", port)
    assert not await reached("[::1]", port)
