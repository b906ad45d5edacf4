"""Conditions, after kstatus."""

from __future__ import annotations

import pytest

from finetune_api.conditions import Condition, Reason
from finetune_operator.deciding.conditions import Situation, State, conditions, progressing
from operator_scenes import at


def made(
    situation: Situation, before: list[Condition] | None = None, seconds: float = 0
) -> dict[str, Condition]:
    return {c.type: c for c in conditions(before or [], situation, 7, at(seconds))}


@pytest.mark.parametrize(
    ("state", "true", "kstatus"),
    [
        (State.REJECTED, {"Stalled"}, "Failed"),
        (State.BLOCKED, {"Accepted", "Stalled"}, "Failed"),
        (State.PROGRESSING, {"Accepted", "Reconciling"}, "InProgress"),
        (State.SUSPENDED, {"Accepted", "Suspended"}, "InProgress"),
        (State.SUCCEEDED, {"Accepted", "Ready", "Complete"}, "Current"),
        (State.FAILED, {"Accepted", "Stalled", "Failed"}, "Failed"),
    ],
)
def test_each_state_has_its_conditions(state: State, true: set[str], kstatus: str) -> None:
    found = made(Situation(state, Reason.STARTING, "why"))
    assert {type_ for type_, condition in found.items() if condition.status == "True"} == true
    assert kstatus_of(found) == kstatus
    assert all(condition.observed_generation == 7 for condition in found.values())


def kstatus_of(found: dict[str, Condition]) -> str:
    """What kstatus makes of the conditions, in its order."""
    if found["Reconciling"].status == "True":
        return "InProgress"
    if found["Stalled"].status == "True":
        return "Failed"
    return "Current" if found["Ready"].status == "True" else "InProgress"


def test_a_transition_time_moves_only_with_the_status() -> None:
    first = made(progressing(Reason.AWAITING_PODS, "a"))
    second = made(progressing(Reason.TRAINING, "b"), list(first.values()), 60)
    assert second["Reconciling"].last_transition_time == at(0)
    assert second["Reconciling"].reason == "Training"
    third = made(Situation(State.SUCCEEDED, Reason.SUCCEEDED, ""), list(second.values()), 90)
    assert third["Reconciling"].last_transition_time == at(90)
    assert third["Accepted"].last_transition_time == at(0)


def test_a_suspension_that_is_over_stays_visible_as_false() -> None:
    paused = made(Situation(State.SUSPENDED, Reason.SUSPENDED, ""))
    assert made(progressing(Reason.RESUMING, ""), list(paused.values()))["Suspended"].status == "False"
    assert "Suspended" not in made(progressing(Reason.STARTING, ""))


def test_a_rejected_spec_carries_its_findings_where_it_is_not_accepted() -> None:
    found = made(Situation(State.REJECTED, Reason.INVALID_SPEC, "training.epochs: 0. Use 1."))
    assert found["Accepted"].status == "False"
    assert found["Accepted"].message == found["Stalled"].message == "training.epochs: 0. Use 1."


def test_long_messages_are_cut() -> None:
    found = made(Situation(State.FAILED, Reason.DATA_ERROR, "é" * 5000))
    assert len(found["Failed"].message.encode()) <= 900
    assert sum(len(condition.message.encode()) for condition in found.values()) < 1600
