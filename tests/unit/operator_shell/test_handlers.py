"""When Kopf's watches begin: at the first request for FineTuneJobs, and not while it looks around."""

import asyncio

import aiohttp
from aiohttp import web

from finetune_operator.handlers import telling_of_watches


async def test_discovery_is_over_at_the_first_request_for_jobs() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    root = f"http://127.0.0.1:{runner.addresses[0][1]}"
    watching = asyncio.Event()
    try:
        async with aiohttp.ClientSession(trace_configs=[telling_of_watches(watching)]) as session:
            for path in ("/api/v1", "/apis", "/apis/finetune.dev/v1alpha1"):
                async with session.get(root + path):
                    assert not watching.is_set(), path
            async with session.get(f"{root}/apis/finetune.dev/v1alpha1/finetunejobs?watch=true"):
                assert watching.is_set()
    finally:
        await runner.cleanup()
