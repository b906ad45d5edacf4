"""Writes events about a FineTuneJob to the cluster. What they tell is decided in `story`."""

from __future__ import annotations

import logging
import uuid
from datetime import datetime
from typing import Any

from finetune_api import GROUP
from finetune_operator.cluster import EVENTS, FINETUNE_JOBS, Cluster, Manifest
from finetune_operator.errors import ApiError
from finetune_operator.plan import Event

logger = logging.getLogger(__name__)

NOTE_CHARACTERS = 1024
"""What the API accepts of a note."""


class EventWriter:
    """Reports events in the name of one operator's pod."""

    def __init__(self, cluster: Cluster, instance: str) -> None:
        self._cluster = cluster
        self._instance = instance

    async def write(self, job: Manifest, events: list[Event]) -> None:
        """Write `events` about `job`, in order. A refused one is logged and lost: an event is no state."""
        for event in events:
            manifest = event_manifest(job, event, self._instance, self._cluster.clock.now())
            try:
                await self._cluster.create(EVENTS, job["metadata"]["namespace"], manifest)
            except ApiError as error:
                logger.warning("event %s could not be written: %s", event.reason, error)


def event_manifest(job: Manifest, event: Event, instance: str, now: datetime) -> dict[str, Any]:
    """An events.k8s.io/v1 Event about `job`, reported by the operator's pod `instance`."""
    metadata = job["metadata"]
    note = (
        event.message if len(event.message) <= NOTE_CHARACTERS else event.message[: NOTE_CHARACTERS - 1] + "…"
    )
    return {
        "apiVersion": EVENTS.api_version,
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name']}.{uuid.uuid4().hex[:16]}",
            "namespace": metadata["namespace"],
        },
        "eventTime": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "type": event.type.value,
        "reason": event.reason,
        "note": note,
        "action": "Reconcile",
        "reportingController": f"{GROUP}/finetune-operator",
        "reportingInstance": instance[:128],
        "regarding": {
            "apiVersion": FINETUNE_JOBS.api_version,
            "kind": "FineTuneJob",
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
    }
