"""A web application over TLS: for reports of pods, and for what the API server asks."""

from __future__ import annotations

import ssl

from aiohttp import web

from finetune_operator.connections import Connections
from finetune_operator.listening import listening


class TlsServer:
    """Serves an application to a bounded number of connections."""

    def __init__(self, app: web.Application) -> None:
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=5.0)
        self._connections: Connections | None = None

    async def start(self, host: str, port: int, context: ssl.SSLContext) -> int:
        """Listen; returns the port, which is news when `port` is 0.

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
