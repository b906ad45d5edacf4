"""Writes events about a FineTuneJob to the cluster. What they tell is decided in `story`."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from finetune_api import GROUP
from finetune_operator.allowance import Allowance
from finetune_operator.cluster import EVENTS, FINETUNE_JOBS, Cluster, Manifest
from finetune_operator.errors import ApiError
from finetune_operator.keys import JobKey
from finetune_operator.plan import Event

logger = logging.getLogger(__name__)

NOTE_CHARACTERS = 1024
"""What the API accepts of a note."""

EVENTS_AT_ONCE = 30
SECONDS_PER_EVENT = 60.0
"""A job's story has a dozen lines. What its pods report makes some of them: whoever reports ever new warnings
would have the operator fill the API server's store, which keeps events for an hour."""


class EventWriter:
    """Reports events in the name of one operator's pod."""

    def __init__(self, cluster: Cluster, instance: str, clock: Callable[[], float]) -> None:
        """`clock` is monotonic, in seconds."""
        self._cluster = cluster
        self._instance = instance
        self._allowance = Allowance(1 / SECONDS_PER_EVENT, EVENTS_AT_ONCE, clock)

    async def write(self, job: Manifest, events: list[Event]) -> None:
        """Write `events` about `job`, in order.

        A refused one is logged and lost, and so is one too many: an event is no state.
        """
        metadata = job["metadata"]
        for event in events:
            if self._allowance.take(JobKey(metadata["namespace"], metadata["name"])):
                logger.warning("more events than a job may have; not written: %s", event.reason)
                continue
            manifest = event_manifest(job, event, self._instance, self._cluster.clock.now())
            try:
                await self._cluster.create(EVENTS, metadata["namespace"], manifest)
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
