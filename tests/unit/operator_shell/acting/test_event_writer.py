"""Events are written, but not as many as somebody who reports might want."""

from typing import Any

from finetune_operator.acting.event_writer import EVENTS_AT_ONCE, SECONDS_PER_EVENT, EventWriter
from finetune_operator.clock import ClusterClock
from finetune_operator.plan import Event, EventType

JOB = {"metadata": {"namespace": "team", "name": "tune", "uid": "u", "resourceVersion": "1"}}
OTHER = {"metadata": {**JOB["metadata"], "name": "other"}}


class Api:
    """An API server that takes events, and its clock."""

    def __init__(self) -> None:
        self.clock = ClusterClock()
        self.notes: list[str] = []

    async def create(self, _: object, __: str, manifest: dict[str, Any]) -> None:
        self.notes.append(manifest["note"])


def warnings(count: int) -> list[Event]:
    return [Event(EventType.WARNING, "TrainerWarning", f"warning {number}") for number in range(count)]


async def test_a_flood_of_warnings_ends_with_what_a_job_may_have(clock: Any) -> None:
    api: Any = Api()
    writer = EventWriter(api, "test", clock)
    await writer.write(JOB, warnings(200))
    assert api.notes == [f"warning {number}" for number in range(EVENTS_AT_ONCE)]
    await writer.write(OTHER, warnings(1))
    assert len(api.notes) == EVENTS_AT_ONCE + 1, "another job has its own"


async def test_who_was_silenced_is_heard_again_after_a_while(clock: Any) -> None:
    api: Any = Api()
    writer = EventWriter(api, "test", clock)
    await writer.write(JOB, warnings(EVENTS_AT_ONCE))
    clock.advance(2 * SECONDS_PER_EVENT)
    await writer.write(JOB, warnings(3))
    assert len(api.notes) == EVENTS_AT_ONCE + 2
