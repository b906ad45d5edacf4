"""The records of a job's attempts in its status: how one begins, what it gathers, how it is closed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from finetune_api import AttemptStatus, FineTuneJobStatus
from finetune_api.status import MAX_ATTEMPTS_KEPT
from finetune_operator.deciding.evidence import Evidence, clearest
from finetune_operator.deciding.outcome import Ending
from finetune_operator.deciding.revision import revised
from finetune_operator.observation import ObservedPod

# A message in an attempt's record is for a table; the whole text is in the conditions and events.
_MESSAGE_BYTES = 400


def newest(status: FineTuneJobStatus) -> AttemptStatus | None:
    """The record of the latest attempt."""
    return max(status.attempts, key=lambda record: record.number, default=None)


def begun(status: FineTuneJobStatus, number: int, now: datetime) -> FineTuneJobStatus:
    """`status` with attempt `number` as the newest; one that replaces a failed attempt uses up a retry."""
    before = newest(status)
    retries = status.retries + 1 if before is not None and before.outcome == "Failed" else status.retries
    return with_record(
        revised(status, retries=retries, attempt=number, start_time=status.start_time or now),
        AttemptStatus(number=number, start_time=now),
    )


def with_record(status: FineTuneJobStatus, record: AttemptStatus) -> FineTuneJobStatus:
    """`status` with this record added or replaced; the newest ten stay."""
    others = [other for other in status.attempts if other.number != record.number]
    ordered = sorted([*others, record], key=lambda item: item.number)
    return revised(status, attempts=ordered[-MAX_ATTEMPTS_KEPT:])


def remembering(record: AttemptStatus, witnesses: Sequence[Evidence]) -> AttemptStatus:
    """A running attempt's record with the clearest failure that was seen so far: its pod may soon be gone."""
    known = remembered(record)
    if not witnesses:
        return record
    cause = clearest([known, *witnesses] if known is not None else witnesses)
    return revised(record, reason=cause.reason, message=clipped(cause.message), exit_code=cause.exit_code)


def remembered(record: AttemptStatus) -> Evidence | None:
    """The failure that `remembering` wrote down."""
    if record.reason is None or record.start_time is None:
        return None
    return Evidence(record.reason, record.message or "", record.exit_code, record.start_time)


def forgetting(record: AttemptStatus) -> AttemptStatus:
    """A running attempt's record without a failure: a queue took its pods away and will give them back."""
    return revised(record, reason=None, message=None, exit_code=None)


def with_pods(record: AttemptStatus, pods: Sequence[ObservedPod], now: datetime) -> AttemptStatus:
    """The record with the number of pods that were seen, and the time at which the first of them started."""
    starts = (pod.running_since(now) for pod in pods)
    started = min((start for start in starts if start is not None), default=None)
    first_seen = started is not None and not record.rank_seconds
    return revised(
        record,
        pods=max(len(pods), record.pods or 0) or None,
        start_time=started if first_seen else record.start_time,
    )


def closed(record: AttemptStatus, end: Ending) -> AttemptStatus:
    """The record of an attempt that is over."""
    started = record.start_time or end.ended_at
    last_step = max(record.last_step or 0, end.result.step if end.result else 0) or record.last_step
    resumed_step = end.result.resumed_step if end.result else None
    return revised(
        record,
        outcome=end.outcome,
        reason=end.reason,
        message=clipped(end.message) or None,
        exit_code=end.exit_code,
        end_time=max(end.ended_at, started),
        last_step=last_step,
        resumed_step=resumed_step if resumed_step is not None else record.resumed_step,
    )


def clipped(text: str, limit: int = _MESSAGE_BYTES) -> str:
    """`text` in at most `limit` bytes of UTF-8."""
    data = text.encode()
    if len(data) <= limit:
        return text
    ellipsis = "…"
    return data[: limit - len(ellipsis.encode())].decode(errors="ignore").rstrip() + ellipsis
