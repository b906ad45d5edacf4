"""Where a server listens: at one address, or at all that its pod has, of either family."""

from __future__ import annotations

import socket
import ssl

from aiohttp import web

EVERYWHERE = ""
"""As a host: every address of the machine. A pod has IPv4, IPv6 or both, as its cluster was made."""


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
