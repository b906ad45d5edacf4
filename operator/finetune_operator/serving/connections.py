"""The connections of a server: a bounded number, because each takes 0.3 MB under TLS before it says anything.

Whoever reaches the port could otherwise fill the operator's memory with connections that say nothing. Where
there are too many, a newcomer takes the place of the one that has been silent for longest.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

logger = logging.getLogger(__name__)

AT_ONCE = 256
HANDSHAKE_SECONDS = 10.0
EXHAUSTED_SECONDS = 1.0
"""How long to wait before another connection is taken where the system has no more to give."""


class Connections:
    """Takes connections at a socket, and lets a protocol of the server's serve each."""

    def __init__(self, serve: Callable[[], asyncio.Protocol], at_most: int = AT_ONCE) -> None:
        """`serve` makes the protocol of one connection."""
        self._serve = serve
        self._at_most = at_most
        self._guests: dict[_Guest, None] = {}
        """Those whose last word is longest ago come first."""
        self._accepting: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._guests)

    def start(self, listening: socket.socket, context: ssl.SSLContext | None) -> None:
        """Take what comes to `listening`, with a `context` for TLS; the socket is closed in the end."""
        listening.setblocking(False)
        self._accepting = asyncio.create_task(self._accept(listening, context), name="connections")

    async def stop(self) -> None:
        """Take no more. Those that are being served stay, until their server ends them."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)

    async def _accept(self, listening: socket.socket, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        with listening:
            while True:
                try:
                    connection, _ = await loop.sock_accept(listening)
                except ConnectionAbortedError:
                    continue  # gone before it was taken
                except OSError as error:
                    logger.warning("no connection can be taken now: %s", error)
                    await asyncio.sleep(EXHAUSTED_SECONDS)
                    continue
                while len(self._guests) >= self._at_most:
                    next(iter(self._guests)).leave()
                _Guest(self._serve(), self._guests).enter(connection, context)


class _Guest(asyncio.Protocol):
    """One connection, from before its handshake to its end; passes on to the protocol that serves it."""

    def __init__(self, served_by: asyncio.Protocol, guests: dict[_Guest, None]) -> None:
        self._served_by = served_by
        self._guests = guests
        self._transport: asyncio.BaseTransport | None = None
        self._handshake: asyncio.Task[None] | None = None
        guests[self] = None

    def enter(self, connection: socket.socket, context: ssl.SSLContext | None) -> None:
        """Begin with the handshake."""
        self._handshake = asyncio.create_task(self._shake_hands(connection, context))

    def leave(self) -> None:
        """Be gone at once."""
        self._guests.pop(self, None)
        if isinstance(self._transport, asyncio.Transport):
            self._transport.abort()
        elif self._handshake is not None:
            self._handshake.cancel()

    async def _shake_hands(self, connection: socket.socket, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        patience = HANDSHAKE_SECONDS if context is not None else None
        try:
            await loop.connect_accepted_socket(
                lambda: self, connection, ssl=context, ssl_handshake_timeout=patience
            )
        except OSError as error:
            logger.debug("a connection came to nothing: %r", error)
        finally:
            # a cancelled one's traceback holds us, and its buffers, until the next search for cycles
            self._handshake = None
            if self._transport is None:
                self._guests.pop(self, None)
                connection.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._served_by.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self in self._guests:
            self._guests[self] = self._guests.pop(self)
        self._served_by.data_received(data)

    def eof_received(self) -> bool | None:
        return self._served_by.eof_received()

    def pause_writing(self) -> None:
        self._served_by.pause_writing()

    def resume_writing(self) -> None:
        self._served_by.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._guests.pop(self, None)
        self._served_by.connection_lost(exc)
