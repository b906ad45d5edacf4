"""Asking for events: rarely, and without harm where that is not allowed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from finetune_operator.cluster import EVENTS, Listing, Resource
from finetune_operator.errors import ForbiddenError
from finetune_operator.keys import JobKey
from finetune_operator.observation import ObservedPod
from finetune_operator.obstacles import Complaint
from finetune_operator.watching.complaint_reader import ComplaintReader
from operator_scenes import at, child, pod, stamp

KEY = JobKey("team", "tune")
QUOTA = Complaint("Job", "tune-1", "FailedCreate", "exceeded quota")


class Events:
    """An API server with one event, which counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.allowed = True

    async def pages(
        self, resource: Resource, namespace: str | None = None, selector: str = "", fields: str = ""
    ) -> AsyncIterator[Listing]:
        assert (resource, namespace, selector) == (EVENTS, "team", "")
        self.asked.append(fields)
        if not self.allowed:
            raise ForbiddenError("no")
        event: dict[str, Any] = {
            "metadata": {"creationTimestamp": stamp(1)},
            "type": "Warning",
            "reason": "FailedCreate",
            "note": "exceeded quota",
            "regarding": {"uid": "job-1"},
        }
        yield Listing([event], 1)
        yield Listing([{**event, "metadata": {"creationTimestamp": stamp(0)}, "note": "older"}], 1)


class Rig:
    def __init__(self) -> None:
        self.events = Events()
        self.reader = ComplaintReader(self.events)

    async def at(self, seconds: float, *pods: ObservedPod, attempt: int = 1) -> tuple[Complaint, ...]:
        started = child(attempt, created_at=at(0))
        return await self.reader.about(KEY, started, pods, 1, at(seconds))


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_nothing_is_asked_in_the_first_seconds(rig: Rig) -> None:
    assert await rig.at(5) == ()
    assert rig.events.asked == []


async def test_the_event_about_the_job_is_found(rig: Rig) -> None:
    assert await rig.at(12) == (QUOTA,)
    assert rig.events.asked == ["regarding.kind=Job,regarding.name=tune-1"]


async def test_between_two_looks_the_answer_is_remembered(rig: Rig) -> None:
    for seconds in (12, 13, 14, 20):
        assert await rig.at(seconds) == (QUOTA,)
    assert len(rig.events.asked) == 1
    await rig.at(60)
    await rig.at(100)
    assert len(rig.events.asked) == 2


async def test_what_was_said_of_an_attempt_is_forgotten_with_it(rig: Rig) -> None:
    await rig.at(12)
    assert await rig.at(13, attempt=2) == ()
    assert await rig.at(14, pod()) == ()
    assert len(rig.events.asked) == 2


async def test_without_the_right_to_read_events_the_job_goes_on(rig: Rig) -> None:
    rig.events.allowed = False
    assert await rig.at(12) == ()
    assert await rig.at(13) == ()
    assert len(rig.events.asked) == 1
