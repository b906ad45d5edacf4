"""Reading the nodes' accelerators from the API server.

Nodes are listed now and then, not watched: they are for estimates only, and report themselves every few
seconds. Where the operator may not list them, it goes on without.
"""

from __future__ import annotations

import logging

from finetune_api.hardware import HardwareCatalog, NodeAccelerators
from finetune_operator.cluster import Cluster, Resource
from finetune_operator.errors import ApiError
from finetune_operator.hardware import Hardware, accelerators_of, in_order

logger = logging.getLogger(__name__)

NODES = Resource("v1", "nodes")


class HardwareStore:
    """The newest that is known of the hardware."""

    def __init__(self, catalog: HardwareCatalog, *, read_nodes: bool) -> None:
        """`read_nodes` says whether the operator was given the right to list nodes."""
        self._read_nodes = read_nodes
        self.hardware = Hardware(catalog)

    async def refresh(self, cluster: Cluster) -> None:
        """List the nodes; what was known stays where that fails."""
        if not self._read_nodes:
            return
        found: list[NodeAccelerators] = []
        try:
            async for page in cluster.pages(NODES):
                found += accelerators_of(page.items)
        except ApiError as error:
            logger.warning("nodes can't be listed, so estimates go by the catalog alone: %s", error)
            return
        self.hardware = Hardware(self.hardware.catalog, in_order(found))
