"""Policy: an invalid spec stalls the job, with every finding, and is not looked at again until it changes.

A job that is valid and that no node can hold is stalled too, and looked at again: nodes come and go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from finetune_api import ConditionType, Finding, FineTuneJobStatus, ObjectMeta, Phase, Reason
from finetune_api.validation import Code
from finetune_operator.deciding.attempts import clipped
from finetune_operator.deciding.conditions import Situation, State
from finetune_operator.deciding.planning import Decision, final_status
from finetune_operator.deciding.revision import revised
from finetune_operator.deciding.story import acceptance
from finetune_operator.plan import Plan

MESSAGE_BYTES = 8192
"""A condition's message may have 32 KiB, and several conditions carry this one."""


_OWN_REASON: Final[dict[str, Reason]] = {
    Code.UNKNOWN_PRESET.value: Reason.UNKNOWN_PRESET,
    Code.NO_NODE_FITS.value: Reason.NO_NODE_FITS,
}
"""Reasons of findings that something else than the spec can mend."""


def rejected(
    metadata: ObjectMeta, status: FineTuneJobStatus, findings: Sequence[Finding], now: datetime
) -> Plan:
    """The plan for an object that is no valid FineTuneJob at all. Children that it may have are left alone.

    A job that has started was valid then, for another version of the operator. What it trains is worth more
    than tidiness; but nobody follows it any more, which its status must not hide. One that has ended keeps
    its state.
    """
    if has_ended(status):
        return Plan(status=revised(status, observed_generation=metadata.generation))
    decision = refusal(status, findings)
    if has_started(status):
        decision = replace(decision, situation=_not_followed(findings))
    after = final_status(status, decision, metadata.generation, now.replace(microsecond=0))
    return Plan(status=after, events=list(acceptance(status, after)))


def blocked(metadata: ObjectMeta, status: FineTuneJobStatus, message: str, now: datetime) -> Plan:
    """The plan for a job that has started and whose spec can't be known any more. Children are left alone.

    One that has ended needs no spec, and keeps its state.
    """
    if has_ended(status):
        return Plan(status=revised(status, observed_generation=metadata.generation))
    decision = Decision(status, Situation(State.BLOCKED, Reason.INVALID_SPEC, message), Phase.STALLED)
    after = final_status(status, decision, metadata.generation, now.replace(microsecond=0))
    return Plan(status=after, events=list(acceptance(status, after)))


def refusal(status: FineTuneJobStatus, findings: Sequence[Finding]) -> Decision:
    """What becomes of a job with these errors."""
    reasons = {_OWN_REASON.get(finding.code, Reason.INVALID_SPEC) for finding in findings}
    reason = reasons.pop() if len(reasons) == 1 else Reason.INVALID_SPEC
    return Decision(status, Situation(State.REJECTED, reason, described(findings)), Phase.STALLED)


def _not_followed(findings: Sequence[Finding]) -> Situation:
    message = (
        "This version of the operator can't read the spec, which was valid when the job started. Its pods "
        "are left alone, and what becomes of them is not followed until an operator runs that can read it. "
    )
    return Situation(
        State.REJECTED, Reason.INVALID_SPEC, clipped(message + described(findings), MESSAGE_BYTES)
    )


def described(findings: Sequence[Finding]) -> str:
    """These errors in one message: field, value, rule and remedy of each, in at most `MESSAGE_BYTES`."""
    return clipped(" ".join(str(finding) for finding in findings), MESSAGE_BYTES)


def is_rejected(status: FineTuneJobStatus, generation: int) -> bool:
    """Whether this very spec was found invalid before."""
    accepted = status.condition(ConditionType.ACCEPTED)
    return (
        accepted is not None
        and accepted.status == "False"
        and accepted.reason != Reason.NO_NODE_FITS
        and accepted.observed_generation == generation == status.observed_generation
    )


def has_started(status: FineTuneJobStatus) -> bool:
    """Whether the job has had an attempt."""
    return status.start_time is not None or bool(status.attempts)


def has_ended(status: FineTuneJobStatus) -> bool:
    """Whether no further attempt will be made."""
    ends = (status.condition(ConditionType.COMPLETE), status.condition(ConditionType.FAILED))
    return any(condition is not None and condition.status == "True" for condition in ends)
