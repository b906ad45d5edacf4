"""Nodes are read for estimates: what they say, and what happens where they can't be listed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from finetune_api.hardware import HardwareCatalog
from finetune_operator.cluster import Listing
from finetune_operator.errors import ApiError
from finetune_operator.watching.nodes import NODES, HardwareStore

NODE = {
    "metadata": {"name": "gpu-1", "labels": {"nvidia.com/gpu.product": "Tesla-T4"}},
    "status": {"allocatable": {"nvidia.com/gpu": "4"}},
}


class Api:
    """An API server that lists nodes, or refuses to."""

    def __init__(self) -> None:
        self.asked = 0
        self.refuses = False

    async def pages(self, resource: object) -> AsyncIterator[Listing]:
        assert resource == NODES
        self.asked += 1
        if self.refuses:
            raise ApiError("GET /api/v1/nodes: forbidden")
        yield Listing([NODE], 1)
        yield Listing([{**NODE, "metadata": {**NODE["metadata"], "name": "gpu-0"}}], 1)


def refreshed(store: HardwareStore, api: Any) -> list[tuple[str, int]]:
    asyncio.run(store.refresh(api))
    return [(found.node, found.count) for found in store.hardware.nodes]


def test_the_nodes_accelerators_are_known_after_a_listing() -> None:
    assert refreshed(HardwareStore(HardwareCatalog(), read_nodes=True), Api()) == [("gpu-0", 4), ("gpu-1", 4)]


def test_what_was_known_stays_where_a_listing_fails(caplog: pytest.LogCaptureFixture) -> None:
    store, api = HardwareStore(HardwareCatalog(), read_nodes=True), Api()
    refreshed(store, api)
    api.refuses = True
    assert refreshed(store, api) == [("gpu-0", 4), ("gpu-1", 4)]
    assert "estimates go by the catalog alone" in caplog.text


def test_without_the_right_nobody_is_asked() -> None:
    api = Api()
    assert refreshed(HardwareStore(HardwareCatalog(), read_nodes=False), api) == []
    assert api.asked == 0
