"""Policy: the story that `kubectl describe` tells, a line for each turn that a job takes.

Events are derived from two statuses, so that the same step never tells a line twice, whoever carries it out.
"""

from __future__ import annotations

from collections.abc import Iterator

from finetune_api import AttemptStatus, ConditionType, FineTuneJob, FineTuneJobStatus, Phase, Reason
from finetune_api.job import processes_per_node
from finetune_api.status import CheckpointRef
from finetune_operator.plan import Event, EventType

_OBSTACLES = {
    Reason.UNSCHEDULABLE: EventType.WARNING,
    Reason.PODS_REFUSED: EventType.WARNING,
    Reason.IMAGE_PULL_FAILED: EventType.WARNING,
    Reason.POD_CONFIG_ERROR: EventType.WARNING,
    Reason.QUEUED: EventType.NORMAL,
}


def story(job: FineTuneJob, before: FineTuneJobStatus, after: FineTuneJobStatus) -> list[Event]:
    """What happened between two statuses of `job`, in the order in which it happened."""
    return [
        *acceptance(before, after),
        *_endings(before, after),
        *_beginnings(job, before, after),
        *_obstacles(before, after),
        *_training(before, after),
        *_checkpoint(before, after),
        *_warnings(before, after),
        *_phases(before, after),
    ]


def acceptance(before: FineTuneJobStatus, after: FineTuneJobStatus) -> Iterator[Event]:
    """Whether the spec became valid, or something stalled the job before it could start."""
    accepted = after.condition(ConditionType.ACCEPTED)
    stalled = after.condition(ConditionType.STALLED)
    if _turned(before, after, ConditionType.ACCEPTED) and accepted is not None and accepted.status == "True":
        yield Event(EventType.NORMAL, Reason.ACCEPTED.value, accepted.message)
    if stalled is not None and stalled.status == "True" and after.phase is Phase.STALLED:
        old = before.condition(ConditionType.STALLED)
        if old is None or (old.status, old.reason, old.message) != (
            stalled.status,
            stalled.reason,
            stalled.message,
        ):
            yield Event(EventType.WARNING, stalled.reason, stalled.message)


def _endings(before: FineTuneJobStatus, after: FineTuneJobStatus) -> Iterator[Event]:
    known = {record.number: record for record in before.attempts}
    for record in after.attempts:
        earlier = known.get(record.number)
        if record.outcome in {"Running", "Succeeded", "Suspended", "Cancelled"}:
            continue
        if earlier is None or earlier.outcome == "Running":
            at = f" after step {record.last_step}" if record.last_step is not None else ""
            reason = record.reason or Reason.TRAINER_CRASHED
            yield Event(
                EventType.WARNING,
                reason.value,
                f"Attempt {record.number} ended{at}: {record.message or reason.meaning}",
            )


def _beginnings(job: FineTuneJob, before: FineTuneJobStatus, after: FineTuneJobStatus) -> Iterator[Event]:
    known = {record.number for record in before.attempts}
    outcomes: dict[int, str] = {record.number: record.outcome for record in after.attempts}
    for record in after.attempts:
        if record.number in known:
            continue
        nodes, ranks = job.spec.distributed.nodes, processes_per_node(job.spec)
        size = (
            f"{nodes} {'pod' if nodes == 1 else 'pods'} with {ranks} {'rank' if ranks == 1 else 'ranks'} each"
        )
        resumed = outcomes.get(record.number - 1) == "Suspended"
        reason = "Resumed" if resumed else "AttemptStarted"
        yield Event(EventType.NORMAL, reason, f"Attempt {record.number} starts: {size}.")


def _obstacles(before: FineTuneJobStatus, after: FineTuneJobStatus) -> Iterator[Event]:
    old, new = (status.condition(ConditionType.RECONCILING) for status in (before, after))
    if new is None or new.status != "True" or (old is not None and old.reason == new.reason):
        return
    kind = next((kind for reason, kind in _OBSTACLES.items() if reason == new.reason), None)
    if kind is not None:
        yield Event(kind, new.reason, new.message)


def _training(before: FineTuneJobStatus, after: FineTuneJobStatus) -> Iterator[Event]:
    record = _running(after)
    if after.phase is not Phase.RUNNING or record is None:
        return
    if before.phase is Phase.RUNNING and before.attempt == after.attempt:
        return
    total = after.progress.total_steps if after.progress else None
    goal = f" of {total}" if total else ""
    since = (
        f"from step {record.resumed_step}{goal}"
        if record.resumed_step
        else f"from the start{goal and ' to step ' + str(total)}"
    )
    yield Event(EventType.NORMAL, "Training", f"Attempt {record.number} trains {since}.")


def _checkpoint(before: FineTuneJobStatus, after: FineTuneJobStatus) -> Iterator[Event]:
    """The first checkpoint of each attempt; to tell of every one would drown the rest."""
    old, new = _latest(before), _latest(after)
    record = _running(after)
    if new is None or record is None or record.start_time is None or new == old:
        return
    if new.time is not None and new.time < record.start_time:
        return
    told = old is not None and old.time is not None and old.time >= record.start_time
    if not told and new.step > (record.resumed_step or 0):
        yield Event(
            EventType.NORMAL,
            "CheckpointSaved",
            f"First checkpoint of attempt {record.number} at step {new.step}: {new.path}",
        )


def _warnings(before: FineTuneJobStatus, after: FineTuneJobStatus) -> Iterator[Event]:
    """What a trainer warns of: a tracker that is down, say."""
    known = {record.number: record.warnings for record in before.attempts}
    for record in after.attempts:
        for warning in record.warnings:
            if warning not in known.get(record.number, []):
                yield Event(EventType.WARNING, "TrainerWarning", f"Attempt {record.number}: {warning}")


def _phases(before: FineTuneJobStatus, after: FineTuneJobStatus) -> Iterator[Event]:
    if before.phase is after.phase:
        return
    ready = after.condition(ConditionType.READY)
    message = ready.message if ready is not None else ""
    match after.phase:
        case Phase.RETRYING:
            yield Event(EventType.NORMAL, "Retrying", message)
        case Phase.SUSPENDING:
            yield Event(EventType.NORMAL, "Suspending", message)
        case Phase.SUSPENDED:
            yield Event(EventType.NORMAL, "Suspended", message)
        case Phase.CANCELLING:
            yield Event(EventType.NORMAL, "Cancelling", message)
        case Phase.CANCELLED:
            yield Event(EventType.NORMAL, "Cancelled", message)
        case Phase.SUCCEEDED:
            yield Event(EventType.NORMAL, "Succeeded", message)
        case Phase.FAILED:
            yield Event(EventType.WARNING, "Failed", message)


def _turned(before: FineTuneJobStatus, after: FineTuneJobStatus, type_: ConditionType) -> bool:
    old, new = before.condition(type_), after.condition(type_)
    return new is not None and (old is None or old.status != new.status)


def _running(status: FineTuneJobStatus) -> AttemptStatus | None:
    return next((record for record in status.attempts if record.outcome == "Running"), None)


def _latest(status: FineTuneJobStatus) -> CheckpointRef | None:
    return status.checkpoints.latest if status.checkpoints else None
