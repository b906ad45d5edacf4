"""While an attempt runs: what is known of it, whether it is over, and what it waits for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from finetune_api import AttemptStatus, FineTuneJobStatus, Phase, Reason
from finetune_api.resolved import attempt_name
from finetune_operator.deciding import (
    attempts,
    cleanup,
    complaints,
    outcome,
    progress,
    startup,
    suspension,
    usage,
)
from finetune_operator.deciding.conditions import progressing
from finetune_operator.deciding.estimation import corrected
from finetune_operator.deciding.evidence import failures
from finetune_operator.deciding.outcome import Ending
from finetune_operator.deciding.planning import Decision
from finetune_operator.deciding.scene import Scene
from finetune_operator.deciding.scheduling import Wait, waiting
from finetune_operator.deciding.starting import CREATION_DELAY, SOON, create_again
from finetune_operator.observation import ObservedJob, ObservedPod

_NOT_BEGUN = frozenset({Phase.PENDING, Phase.QUEUED, Phase.STARTING})
"""Phases of an attempt that has not trained: one that ends in them never has."""


def caught_up(scene: Scene, status: FineTuneJobStatus) -> FineTuneJobStatus:
    """The status with the newest attempt on record, and with what was reported and used since."""
    number = scene.newest_attempt
    for record in status.attempts:
        if record.number < number and record.outcome == "Running":
            status = closed(scene, status, record, _end_of_superseded(scene, record))
    if not any(record.number == number for record in status.attempts):
        child = scene.child(number)
        created_at = child.created_at if child is not None else None
        status = progress.resting(attempts.begun(status, number, created_at or scene.now))
    record = next(record for record in status.attempts if record.number == number)
    if record.outcome != "Running":
        return status
    report = scene.report(number)
    if report is not None:
        status, record = progress.reported(status, record, report)
        status = corrected(scene.job, status, record, scene.config.hardware)
    return _metered(scene, status, record)


def step(scene: Scene, status: FineTuneJobStatus, record: AttemptStatus) -> Decision | Ending:
    """What to do about the running attempt, or how it has ended.

    One that was told to end, and was interrupted by that, has ended when its Job and pods are gone: the Job
    controller may call the Job failed while pods still hold their node's devices.
    """
    child = scene.child(record.number)
    why = suspension.stop_reason(scene.job, status)
    if child is None:
        return _without_child(scene, status, record, why)
    end = outcome.ending(
        child,
        scene.pods(record.number),
        scene.reported_result(record.number),
        attempts.remembered(record),
        own_command=scene.own_command,
        now=scene.now,
    )
    as_told = end is not None and why is not None and end.outcome == "Preempted"
    if end is not None and not as_told:
        return end
    superfluous = [other for other in cleanup.unfinished(scene.children) if other.attempt != record.number]
    delete = [cleanup.job_ref(other) for other in superfluous]
    if why is None or (child.finished and not as_told):
        if _was_given_up(scene, record) and not child.deleting and not child.finished:
            delete.append(cleanup.job_ref(child))
        return replace(_under_way(scene, status, record, child), delete=delete)
    if not child.deleting:
        delete.append(cleanup.job_ref(child))
    told = _after(status, end) if end is not None else status
    return replace(_stopping(scene, told, record, why), delete=delete)


def closed(scene: Scene, status: FineTuneJobStatus, record: AttemptStatus, end: Ending) -> FineTuneJobStatus:
    """The status with an attempt closed: its record, its part in what was used and lost, its last word."""
    status = _after(status, end)
    pods = scene.pods(record.number)
    used = usage.measured(record, pods, usage.Rates.of(scene.job), scene.now)
    after = attempts.closed(used, end)
    return progress.resting(attempts.with_record(usage.accounted(status, record, after), after))


def _metered(scene: Scene, status: FineTuneJobStatus, record: AttemptStatus) -> FineTuneJobStatus:
    pods = scene.pods(record.number)
    child = scene.child(record.number)
    seen_pods = attempts.with_pods(record, pods, scene.now)
    after = usage.measured(seen_pods, pods, usage.Rates.of(scene.job), scene.now)
    if child is not None and child.suspended:
        after = attempts.forgetting(after)
    else:
        seen = failures(pods, None, own_command=scene.own_command, at=scene.now)
        late = startup.given_up(scene.job, _wait(scene, child), scene.now) if child is not None else []
        after = attempts.remembering(after, [*seen, *late])
    return attempts.with_record(usage.accounted(status, record, after), after)


def _under_way(
    scene: Scene, status: FineTuneJobStatus, record: AttemptStatus, child: ObservedJob
) -> Decision:
    number = record.number
    wait = _wait(scene, child)
    if record.reason is not None:
        message = f"Attempt {number} is ending: {record.message or record.reason.meaning}"
        before = scene.status.phase
        phase = before if before in _NOT_BEGUN else Phase.RUNNING
        situation = progressing(record.reason, message)
    elif child.deleting:
        message = (
            f"Job {child.name} is being deleted, not by us; the next attempt follows when its pods are gone."
        )
        situation, phase = progressing(Reason.INTERRUPTED, message), Phase.RETRYING
    elif wait is not None and not child.finished:
        situation, phase = progressing(wait.reason, wait.message), wait.phase
    elif progress.is_training(status) or scene.own_command:
        situation, phase = progressing(Reason.TRAINING, f"Attempt {number} is training."), Phase.RUNNING
    else:
        message = f"Attempt {number} has started; its ranks load model and data."
        situation, phase = progressing(Reason.STARTING, message), Phase.STARTING
    return Decision(status, situation, phase, requeue_after=_look_again(scene, status, child))


def _wait(scene: Scene, child: ObservedJob) -> Wait | None:
    return waiting(scene.job, child, scene.pods(child.attempt), scene.observed.complaints)


def _was_given_up(scene: Scene, record: AttemptStatus) -> bool:
    """Whether the attempt was given up, and the stored status says so: once its pods are gone, nothing else
    does."""
    stored = (other for other in scene.status.attempts if other.number == record.number)
    return startup.is_given_up(record) and any(startup.is_given_up(other) for other in stored)


def _look_again(scene: Scene, status: FineTuneJobStatus, child: ObservedJob) -> float | None:
    """In how many seconds time alone will have changed something."""
    if child.finished:
        return outcome.EVIDENCE_DELAY.total_seconds()
    remaining = suspension.remaining_seconds(scene.job, status)
    waits = [float(max(1, remaining))] if remaining is not None else []
    if complaints.unexplained(child, scene.pods(child.attempt), scene.job.spec.distributed.nodes):
        waits.append(complaints.patience(child, scene.now))
    if (until := startup.limit(scene.job, _wait(scene, child))) is not None:
        waits.append(max(1.0, (until - scene.now).total_seconds()))
    return min(waits, default=None)


def _stopping(scene: Scene, status: FineTuneJobStatus, record: AttemptStatus, why: Reason) -> Decision:
    if why is Reason.SUSPENDED:
        message = f"Attempt {record.number} saves a checkpoint and ends, because spec.suspend was set."
        return Decision(status, progressing(Reason.SUSPENDING, message), Phase.SUSPENDING)
    if why is Reason.CANCELLED:
        message = (
            f"Attempt {record.number} saves a checkpoint and ends for good, because spec.cancel was set."
        )
        return Decision(status, progressing(Reason.CANCELLING, message), Phase.CANCELLING)
    return Decision(status, progressing(why, suspension.deadline_message(scene.job)), Phase.RUNNING)


def _without_child(
    scene: Scene, status: FineTuneJobStatus, record: AttemptStatus, why: Reason | None
) -> Decision | Ending:
    """The attempt's Job is not there: not visible yet, or gone."""
    number = record.number
    name = attempt_name(scene.job.metadata.name, number)
    pods = scene.pods(number)
    if not all(pod.ended for pod in pods):
        message = f"Job {name} was deleted, not by us; the next attempt follows when its pods are gone."
        gone = Decision(status, progressing(Reason.INTERRUPTED, message), Phase.RETRYING)
        told = _stopping(scene, status, record, why) if why is not None else gone
        return replace(_left_behind(told, name, pods) or told, requeue_after=SOON)
    begun_at = record.start_time or scene.now
    if not pods and not record.pods and scene.now < begun_at + CREATION_DELAY:
        return create_again(scene, status, number)
    if why is not None:
        otherwise = suspension.stopped(scene.job, why, scene.now)
    else:
        otherwise = Ending("Lost", Reason.INTERRUPTED, f"Job {name} was deleted, not by us.", scene.now)
    end = outcome.without_job(
        otherwise,
        pods,
        scene.reported_result(number),
        attempts.remembered(record),
        own_command=scene.own_command,
    )
    if why is not None and end.outcome in {"Suspended", "Cancelled"} and pods:
        return replace(_stopping(scene, _after(status, end), record, why), requeue_after=SOON)
    return end


def _left_behind(told: Decision, job: str, pods: Sequence[ObservedPod]) -> Decision | None:
    """The same, where nobody ends the pods: theirs was `kubectl delete job --cascade=orphan`.

    The operator may not delete pods, and has no need to: it asks who has the right.
    """
    orphans = " ".join(pod.name for pod in pods if pod.orphaned)
    if not orphans or told.situation is None:
        return None
    message = (
        f"Job {job} was deleted without its pods, which train on and can't report any more. "
        f"`kubectl delete pod {orphans}` has them save a checkpoint and end; until then the job waits."
    )
    return replace(told, situation=replace(told.situation, message=message))


def _after(status: FineTuneJobStatus, end: Ending) -> FineTuneJobStatus:
    """The status with the last word of the trainer, which its pods take with them."""
    return progress.concluded(status, end.result) if end.result is not None else status


def _end_of_superseded(scene: Scene, record: AttemptStatus) -> Ending:
    """How an attempt ended whose successor is there, though the status still has it running."""
    child = scene.child(record.number)
    pods = scene.pods(record.number)
    result = scene.reported_result(record.number)
    known = attempts.remembered(record)
    lost = Ending("Lost", Reason.INTERRUPTED, "Its end was not observed.", scene.now)
    if child is not None:
        end = outcome.ending(child, pods, result, known, own_command=scene.own_command, now=scene.now)
        if end is not None and end.outcome != "Succeeded":
            return end
    end = outcome.without_job(lost, pods, result, known, own_command=scene.own_command)
    return end if end.outcome != "Succeeded" else lost
