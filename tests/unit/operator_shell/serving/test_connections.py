"""A server's connections are bounded: those who say nothing make room for those who do."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from finetune_operator.serving.certificates import new_authority, new_leaf
from finetune_operator.serving.connections import Connections

AT_MOST = 3


class Echo(asyncio.Protocol):
    """Says what it hears."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Port:
    """A port of this machine, and who comes to it."""

    def __init__(self, connections: Connections, port: int, authority: str) -> None:
        self.connections = connections
        self._port = port
        self._trust = ssl.create_default_context(cadata=authority)
        self.writers: list[asyncio.StreamWriter] = []

    async def silent(self) -> asyncio.StreamReader:
        """Somebody who connects and says nothing, not even hello."""
        before = len(self.connections)
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self.writers.append(writer)
        await reached(lambda: len(self.connections) in {before + 1, AT_MOST})
        return reader

    async def guest(self) -> "Guest":
        streams = await asyncio.open_connection(
            "localhost", self._port, ssl=self._trust, family=socket.AF_INET
        )
        self.writers.append(streams[1])
        return Guest(*streams)


class Guest:
    """Somebody who talks TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def says(self, text: bytes) -> bytes:
        """Speak, and hear the answer; empty once the connection is gone."""
        self._writer.write(text)
        try:
            return await asyncio.wait_for(self._reader.read(100), 5)
        except ConnectionError:
            return b""


async def reached(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what others do, no event tells
            await asyncio.sleep(0)


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[Port]:
    now = datetime.now(UTC)
    authority = new_authority("test", now)
    leaf = new_leaf(authority, ["localhost"], now)
    file = tmp_path / "pair.pem"
    file.write_text(leaf.certificate + leaf.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    connections = Connections(Echo, AT_MOST)
    listening = socket.create_server(("127.0.0.1", 0))
    number = listening.getsockname()[1]
    connections.start(listening, context)
    opened = Port(connections, number, authority.certificate)
    yield opened
    await connections.stop()
    for writer in opened.writers:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for writer in opened.writers), return_exceptions=True)


async def test_a_crowd_that_says_nothing_makes_room(port: Port) -> None:
    silent = [await port.silent() for _ in range(AT_MOST)]
    assert await (await port.guest()).says(b"report") == b"report"
    assert await asyncio.wait_for(silent[0].read(), 5) == b"", "the first to fall silent"
    assert len(port.connections) == AT_MOST


async def test_who_talks_stays(port: Port) -> None:
    guest = await port.guest()
    for _ in range(3 * AT_MOST):
        await port.silent()
        assert await guest.says(b"still here") == b"still here"


async def test_who_has_gone_leaves_room(port: Port) -> None:
    await port.silent()
    port.writers[-1].close()
    await reached(lambda: len(port.connections) == 0)


async def test_a_connection_that_is_no_tls_comes_to_nothing(port: Port) -> None:
    reader = await port.silent()
    port.writers[-1].write(b"GET / HTTP/1.1\r\n\r\n")
    await asyncio.wait_for(reader.read(), 5)
    await reached(lambda: len(port.connections) == 0)
