"""A server of the operator's, and where it listens: at one address, or at all that its pod has, of either
family."""

from __future__ import annotations

import socket
import ssl

from aiohttp import web

EVERYWHERE = ""
"""As a host: every address of the machine. A pod has IPv4, IPv6 or both, as its cluster was made."""


class Listener:
    """Serves an application of aiohttp from `start` to `stop`."""

    def __init__(self, app: web.Application, *, patience_seconds: float = 5.0) -> None:
        """A request that is being answered when the server stops may take `patience_seconds` more."""
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=patience_seconds)

    async def start(self, host: str, port: int, context: ssl.SSLContext | None = None) -> int:
        """Listen, with a `context` for TLS; returns the port, which is news when `port` is 0.

        Raises:
            OSError: the port is taken.
        """
        await self._runner.setup()
        await site(self._runner, host, port, context).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Finish the requests that are being answered, then close."""
        await self._runner.cleanup()


def site(runner: web.AppRunner, host: str, port: int, context: ssl.SSLContext | None = None) -> web.BaseSite:
    """Where `runner` is to listen once started; with a `context`, for TLS.

    Raises:
        OSError: the port is taken.
    """
    if host != EVERYWHERE:
        return web.TCPSite(runner, host, port, ssl_context=context)
    if socket.has_dualstack_ipv6():
        both = socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=True)
        return web.SockSite(runner, both, ssl_context=context)
    return web.SockSite(runner, socket.create_server((host, port)), ssl_context=context)
