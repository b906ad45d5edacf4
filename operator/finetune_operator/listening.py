"""Where a server listens: at one address, or at all that its pod has, of either family."""

from __future__ import annotations

import socket

from aiohttp import web

EVERYWHERE = ""
"""As a host: every address of the machine. A pod has IPv4, IPv6 or both, as its cluster was made."""


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens at `host`.

    Raises:
        OSError: the port is taken.
    """
    if host == EVERYWHERE and socket.has_dualstack_ipv6():
        return socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=True)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def site(runner: web.AppRunner, host: str, port: int) -> web.BaseSite:
    """Where `runner` is to listen once started, without TLS.

    Raises:
        OSError: the port is taken.
    """
    return web.SockSite(runner, listening(host, port))
