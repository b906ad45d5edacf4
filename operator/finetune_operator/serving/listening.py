"""A server of the operator's, and where it listens: at one address, or at all that its pod has, of either
family."""

from __future__ import annotations

import socket
import ssl

from aiohttp import web

from finetune_operator.serving.connections import Connections

EVERYWHERE = ""
"""As a host: every address of the machine. A pod has IPv4, IPv6 or both, as its cluster was made."""


class Listener:
    """Serves an application of aiohttp from `start` to `stop`."""

    def __init__(self, app: web.Application, *, patience_seconds: float = 5.0) -> None:
        """A request that is being answered when the server stops may take `patience_seconds` more."""
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=patience_seconds)
        self._connections: Connections | None = None

    async def start(self, host: str, port: int, context: ssl.SSLContext | None = None) -> int:
        """Listen, with a `context` for TLS; returns the port, which is news when `port` is 0.

        Raises:
            OSError: the port is taken.
        """
        door = listening(host, port)
        await self._runner.setup()
        serve = self._runner.server
        if serve is None:
            raise RuntimeError("a runner that was set up has a server")
        self._connections = Connections(serve)
        self._connections.start(door, context)
        return int(door.getsockname()[1])

    async def stop(self) -> None:
        """Finish the requests that are being answered, then close."""
        if self._connections is not None:
            await self._connections.stop()
        await self._runner.cleanup()


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens at `host`.

    Raises:
        OSError: the port is taken.
    """
    if host == EVERYWHERE and socket.has_dualstack_ipv6():
        return socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=True)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)
