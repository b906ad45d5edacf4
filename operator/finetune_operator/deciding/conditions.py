"""Policy: the conditions of a job in each state, after kstatus.

`Reconciling` and `Stalled` are abnormal when True and are always there, like `Ready` and `Accepted`.
`Complete`, `Failed` and `Suspended` appear once they have been True. `Stalled` also tells of a job that has
failed for good, so that Flux, Argo CD and `helm --wait` stop waiting for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from finetune_api import Condition, ConditionType, Reason
from finetune_operator.deciding.attempts import clipped

# The scheduler's messages and findings can be long, and the status has to stay small: the whole message
# stands where the state is named, its beginning at the other conditions that show it.
_WHOLE = 900
_BEGINNING = 240


class State(Enum):
    """What a job is in, as far as conditions tell."""

    REJECTED = auto()
    """The spec is invalid."""
    BLOCKED = auto()
    """The spec is valid, but something that only the user can remove is in the way."""
    PROGRESSING = auto()
    """On its way, between attempts too."""
    SUSPENDED = auto()
    """Paused, no pods."""
    SUCCEEDED = auto()
    """Trained."""
    FAILED = auto()
    """No further attempt."""


_TRUE = {
    State.REJECTED: {ConditionType.STALLED},
    State.BLOCKED: {ConditionType.ACCEPTED, ConditionType.STALLED},
    State.PROGRESSING: {ConditionType.ACCEPTED, ConditionType.RECONCILING},
    State.SUSPENDED: {ConditionType.ACCEPTED, ConditionType.SUSPENDED},
    State.SUCCEEDED: {ConditionType.ACCEPTED, ConditionType.READY, ConditionType.COMPLETE},
    State.FAILED: {ConditionType.ACCEPTED, ConditionType.STALLED, ConditionType.FAILED},
}
_WHOLE_AT = {
    State.REJECTED: {ConditionType.ACCEPTED, ConditionType.STALLED},
    State.BLOCKED: {ConditionType.STALLED},
    State.PROGRESSING: {ConditionType.RECONCILING},
    State.SUSPENDED: {ConditionType.SUSPENDED},
    State.SUCCEEDED: {ConditionType.COMPLETE},
    State.FAILED: {ConditionType.FAILED},
}
_ALWAYS = (ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED, ConditionType.ACCEPTED)
_ONCE_TRUE = (ConditionType.COMPLETE, ConditionType.FAILED, ConditionType.SUSPENDED)


@dataclass(frozen=True, slots=True)
class Situation:
    """A state and why."""

    state: State
    reason: Reason
    message: str


def progressing(reason: Reason, message: str) -> Situation:
    """On its way, and this is what it does or waits for."""
    return Situation(State.PROGRESSING, reason, message)


def conditions(
    before: Sequence[Condition], situation: Situation, generation: int, now: datetime
) -> list[Condition]:
    """All conditions of a job in this situation; `lastTransitionTime` moves only where a status does.

    The message stands at the conditions that are True, at `Ready`, which people read first, and at the
    `Accepted` of a rejected spec; elsewhere it would only be repeated.
    """
    earlier = {condition.type: condition for condition in before}
    true = _TRUE[situation.state]
    types = [*_ALWAYS, *(type_ for type_ in _ONCE_TRUE if type_ in true or type_ in earlier)]
    return [
        _condition(earlier.get(type_), type_, type_ in true, situation, generation, now) for type_ in types
    ]


def _condition(
    before: Condition | None,
    type_: ConditionType,
    holds: bool,
    situation: Situation,
    generation: int,
    now: datetime,
) -> Condition:
    reason, message = situation.reason, situation.message
    if type_ is ConditionType.ACCEPTED and holds:
        reason, message = Reason.ACCEPTED, "The spec is valid."
    elif type_ in _WHOLE_AT[situation.state]:
        message = clipped(message, _WHOLE)
    elif holds or type_ is ConditionType.READY:
        message = clipped(message, _BEGINNING)
    else:
        message = ""
    status = "True" if holds else "False"
    unchanged = before is not None and before.status == status
    return Condition.model_validate(
        {
            "type": type_.value,
            "status": status,
            "observed_generation": generation,
            "last_transition_time": before.last_transition_time if before is not None and unchanged else now,
            "reason": reason.value,
            "message": message,
        }
    )
