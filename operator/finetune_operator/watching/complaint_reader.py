"""Reading events about attempts that do not begin. When that makes sense is decided in `complaints`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from finetune_operator.cluster import EVENTS, Listing, Resource
from finetune_operator.deciding.complaints import (
    Subject,
    has_waited,
    last_word,
    newest,
    patience,
    unexplained,
)
from finetune_operator.errors import ApiError
from finetune_operator.keys import JobKey
from finetune_operator.observation import ObservedJob, ObservedPod
from finetune_operator.obstacles import Complaint

logger = logging.getLogger(__name__)

EARLY = timedelta(seconds=2)
"""A look that was planned for a moment may come a little before it, because seconds are rounded."""


class EventLister(Protocol):
    """What is needed of the cluster."""

    def pages(
        self, resource: Resource, namespace: str | None = None, selector: str = "", fields: str = ""
    ) -> AsyncIterator[Listing]:
        """All events that the field selector lets through, page by page."""


@dataclass(frozen=True, slots=True)
class _Answer:
    child_uid: str
    complaints: tuple[Complaint, ...]
    holds_until: datetime


class ComplaintReader:
    """Remembers what was said, so that a job is asked about no more often than `patience` allows."""

    def __init__(self, cluster: EventLister) -> None:
        self._cluster = cluster
        self._answers: dict[JobKey, _Answer] = {}

    async def about(
        self, key: JobKey, child: ObservedJob, pods: Sequence[ObservedPod], nodes: int, now: datetime
    ) -> tuple[Complaint, ...]:
        """What keeps the attempt of `child` from starting, as far as events tell; nothing where they can't be
        read."""
        subjects = unexplained(child, pods, nodes)
        if not subjects:
            self._answers.pop(key, None)
            return ()
        known = self._answers.get(key)
        if known is not None and known.child_uid == child.uid and now < known.holds_until:
            return known.complaints
        if not has_waited(child, now):
            return ()
        found = []
        for subject in subjects:
            try:
                told = await self._newest_event(key.namespace, subject, child)
            except ApiError as error:
                logger.warning("events about %s %s can't be read: %s", subject.kind, subject.name, error)
                continue
            if (complaint := last_word(subject, told)) is not None:
                found.append(complaint)
        holds_until = now + timedelta(seconds=patience(child, now)) - EARLY
        self._answers[key] = _Answer(child.uid, tuple(found), holds_until)
        return tuple(found)

    async def _newest_event(
        self, namespace: str, subject: Subject, child: ObservedJob
    ) -> list[Mapping[str, Any]]:
        """The newest event about a subject, if there is one. There may be more of them than fit here."""
        fields = f"regarding.kind={subject.kind},regarding.name={subject.name}"
        uid = child.uid if subject.kind == "Job" else None
        kept: list[Mapping[str, Any]] = []
        async for page in self._cluster.pages(EVENTS, namespace, fields=fields):
            event = newest([*kept, *page.items], uid)
            kept = [event] if event is not None else []
        return kept

    def forget(self, key: JobKey) -> None:
        """The job is gone."""
        self._answers.pop(key, None)
