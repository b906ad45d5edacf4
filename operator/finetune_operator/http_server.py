"""`/metrics`, `/healthz` and `/readyz`: plain HTTP, for Prometheus and the kubelet."""

from __future__ import annotations

from aiohttp import web

from finetune_operator.health import Health
from finetune_operator.listening import site
from finetune_operator.metrics import Metrics


class HttpServer:
    """Answers from memory only, so that an answer also says that the event loop turns."""

    def __init__(self, metrics: Metrics, health: Health) -> None:
        self._metrics = metrics
        self._health = health
        app = web.Application()
        app.router.add_get("/metrics", self._serve_metrics)
        app.router.add_get("/healthz", self._serve_liveness)
        app.router.add_get("/readyz", self._serve_readiness)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, which is news when `port` is 0."""
        await self._runner.setup()
        await site(self._runner, host, port).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close."""
        await self._runner.cleanup()

    async def _serve_metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics.exposition(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    async def _serve_liveness(self, _: web.Request) -> web.Response:
        return _answer(self._health.liveness())

    async def _serve_readiness(self, _: web.Request) -> web.Response:
        return _answer(self._health.readiness())


def _answer(problems: dict[str, str]) -> web.Response:
    return web.json_response({"ok": not problems, "problems": problems}, status=503 if problems else 200)
