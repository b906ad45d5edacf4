"""`/metrics`, `/healthz` and `/readyz`: plain HTTP, for Prometheus and the kubelet."""

from __future__ import annotations

from aiohttp import web

from finetune_operator.health import Health
from finetune_operator.metrics import Metrics
from finetune_operator.serving.listening import Listener


class HttpServer(Listener):
    """Answers from memory only, so that an answer also says that the event loop turns."""

    def __init__(self, metrics: Metrics, health: Health) -> None:
        self._metrics = metrics
        self._health = health
        app = web.Application()
        app.router.add_get("/metrics", self._serve_metrics)
        app.router.add_get("/healthz", self._serve_liveness)
        app.router.add_get("/readyz", self._serve_readiness)
        super().__init__(app, patience_seconds=1.0)

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
