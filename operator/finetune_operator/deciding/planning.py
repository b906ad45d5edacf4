"""From a decision to a plan: the status in its final form, its conditions, and the story that it tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from finetune_api import FineTuneJobStatus, Phase
from finetune_api.status import AttemptStatus
from finetune_operator.deciding.attempts import clipped
from finetune_operator.deciding.conditions import Situation, conditions
from finetune_operator.deciding.revision import revised
from finetune_operator.plan import Manifest, ObjectRef

# Beside etcd's limits, a status is read by people and sent to every watcher at each change.
STATUS_BYTES = 4096
_OLD_MESSAGE_LENGTHS = (120, 40, 0)


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done, before the conditions are drawn from it. Without a `situation` they stay."""

    status: FineTuneJobStatus
    situation: Situation | None = None
    phase: Phase | None = None
    apply: list[Manifest] = field(default_factory=list)
    delete: list[ObjectRef] = field(default_factory=list)
    requeue_after: float | None = None


def final_status(
    before: FineTuneJobStatus, decision: Decision, generation: int, now: datetime
) -> FineTuneJobStatus:
    """The status to write: `before` itself where nothing but running meters would change."""
    situation = decision.situation
    after = revised(decision.status, observed_generation=generation)
    if situation is not None:
        after = revised(
            after,
            phase=decision.phase,
            conditions=conditions(before.conditions, situation, generation, now),
        )
    else:
        after = revised(
            after, conditions=[revised(c, observed_generation=generation) for c in after.conditions]
        )
    after = bounded(after)
    return before if _meters_off(before) == _meters_off(after) else after


def bounded(status: FineTuneJobStatus, limit: int = STATUS_BYTES) -> FineTuneJobStatus:
    """`status` in at most `limit` bytes of JSON where that can be; the past is cut first."""
    for length in _OLD_MESSAGE_LENGTHS:
        if _size(status) <= limit:
            return status
        past, last = status.attempts[:-1], status.attempts[-1:]
        status = revised(status, attempts=[*(_brief(record, length) for record in past), *last])
    if _size(revised(status, attempts=status.attempts[-1:])) > limit:
        return status  # it is something else that is large, and the past would be lost for nothing
    while _size(status) > limit:
        status = revised(status, attempts=status.attempts[1:])
    return status


def _brief(record: AttemptStatus, length: int) -> AttemptStatus:
    message = clipped(record.message, length) if record.message and length else None
    return revised(record, message=message, warnings=[])


def _size(status: FineTuneJobStatus) -> int:
    return len(status.model_dump_json(by_alias=True, exclude_none=True).encode())


def _meters_off(status: FineTuneJobStatus) -> FineTuneJobStatus:
    """`status` without what moves by itself while an attempt runs."""
    running = any(record.outcome == "Running" for record in status.attempts)
    if not running:
        return status
    attempts = [
        revised(record, rank_seconds=None, gpu_seconds=None) if record.outcome == "Running" else record
        for record in status.attempts
    ]
    return revised(status, attempts=attempts, usage=None)
