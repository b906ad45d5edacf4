"""What `decide` wants done: a value, carried out by the shell and compared by tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finetune_api import FineTuneJobStatus

Manifest = dict[str, Any]


class EventType(StrEnum):
    """The two types that Kubernetes knows."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Event:
    """A line for `kubectl describe`: emitted once, when the status moves."""

    type: EventType
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """An object of the job's namespace to delete.

    `uid`, when known, is a precondition: an object that took the name in the meantime is left alone. Deletion
    is foreground, so that a Job is seen until the last of its pods is gone.
    """

    api_version: str
    kind: str
    name: str
    uid: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do for one FineTuneJob now.

    Deletions come first, then `apply` in its order (the Job is the last one), then one write of `status` if
    it differs from what is stored, then `events`. Objects in `apply` are meant to be created: one that exists
    with our owner is left as it is; one of another owner is a `Conflict` to observe. An object without
    ownerReferences (the storage claim) belongs to the user once it is there, and is never a conflict.
    `requeue_after` is in seconds; None waits for the next event.
    """

    status: FineTuneJobStatus
    apply: list[Manifest] = field(default_factory=list)
    delete: list[ObjectRef] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    requeue_after: float | None = None
