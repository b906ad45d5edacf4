"""The operator ends when a part of it does that must run for ever."""

import asyncio
from typing import Any, cast

import kopf
import pytest

from finetune_operator import app
from finetune_operator.app import Operator
from finetune_operator.cluster import Cluster
from finetune_operator.settings import Settings


async def for_ever() -> None:
    await asyncio.Event().wait()


async def broken() -> None:
    raise AssertionError("a session was closed under a request")


async def test_where_a_part_of_kopf_fails_and_the_rest_hangs_it_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when a token is refused while all watches begin: it was alive and ready, and deaf."""

    async def spawn_tasks(*, ready_flag: asyncio.Event, **_: Any) -> list[asyncio.Task[None]]:
        ready_flag.set()
        return [
            asyncio.create_task(for_ever(), name="observer"),
            asyncio.create_task(broken(), name="watches"),
        ]

    async def run_tasks(*_: Any, **__: Any) -> None:
        await for_ever()

    monkeypatch.setattr(kopf, "spawn_tasks", spawn_tasks)
    monkeypatch.setattr(kopf, "run_tasks", run_tasks)
    monkeypatch.setattr(app, "registry_for", lambda *_: None)
    monkeypatch.setattr(app, "STOP_SECONDS", 0.01)
    monkeypatch.setattr(app, "DISCOVERY_SECONDS", 0.01)
    monkeypatch.setattr(app, "hush_watches", lambda: None)
    settings = Settings.model_validate(
        {"namespace": "x", "trainer": {"image": "y"}, "httpHost": "127.0.0.1", "httpPort": 0}
    )
    cluster = cast("Cluster", type("Nowhere", (), {"configuration": None})())
    operator = Operator(settings, cluster)
    with pytest.raises(RuntimeError, match="watches ended by itself"):
        await operator._watch(asyncio.Event(), [], None)
    assert operator.health.liveness() == {"watch": "Kopf has ended"}
