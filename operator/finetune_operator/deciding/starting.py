"""On the way into an attempt: nothing else may write to the volume, and the names have to be free."""

from __future__ import annotations

from datetime import timedelta

from finetune_api import FineTuneJobStatus, Phase, Reason
from finetune_operator.deciding import attempts, cleanup, progress, refusal
from finetune_operator.deciding.conditions import Situation, State, progressing
from finetune_operator.deciding.planning import Decision
from finetune_operator.deciding.scene import Scene
from finetune_operator.obstacles import Rival
from finetune_operator.rendering import render_attempt

# A Job that we have made may be missing from what we observe for a moment, but not for longer than this.
CREATION_DELAY = timedelta(seconds=30)

# How soon to look again (seconds) where no event may tell: at pods of others, at a name that is taken.
SOON = 5.0
LATER = 60.0


def begin(scene: Scene, status: FineTuneJobStatus, number: int) -> Decision:
    """Start attempt `number`, once everything of the attempts before it has ended."""
    begun = progress.resting(attempts.begun(status, number, scene.now))
    return (
        _wait_for_others(scene, status, number)
        or _obstacle(scene, status, number)
        or _creation(scene, begun, number)
    )


def create_again(scene: Scene, status: FineTuneJobStatus, number: int) -> Decision:
    """Make sure that the objects of an attempt that was begun are there."""
    return (
        _wait_for_others(scene, status, number)
        or _obstacle(scene, status, number)
        or _creation(scene, status, number)
    )


def _wait_for_others(scene: Scene, status: FineTuneJobStatus, number: int) -> Decision | None:
    """Nothing may start while pods of other attempts, or of an earlier job of this name, use the volume."""
    live = [*(child.name for child in scene.live_jobs), *(pod.name for pod in scene.live_pods)]
    if not live:
        return None
    return Decision(
        status,
        progressing(Reason.AWAITING_PODS, f"Attempt {number} starts when {live[0]} has ended."),
        Phase.PENDING if number == 1 else Phase.RETRYING,
        delete=[cleanup.job_ref(child) for child in cleanup.unfinished(scene.children)],
        requeue_after=SOON,
    )


def _creation(scene: Scene, status: FineTuneJobStatus, number: int) -> Decision:
    return Decision(
        status,
        progressing(Reason.AWAITING_PODS, f"Attempt {number} has been created."),
        Phase.PENDING,
        apply=render_attempt(scene.job, number, scene.config, scene.observed.preset),
        delete=cleanup.all_refs(scene.job, cleanup.forgotten(status, scene.children)),
        requeue_after=CREATION_DELAY.total_seconds(),
    )


def _in_use(status: FineTuneJobStatus, number: int, rival: Rival) -> Decision:
    if rival.kind == "Pod":
        message = f"Attempt {number} starts when {rival.name} has ended, which still writes to {rival.place}."
        return Decision(status, progressing(Reason.AWAITING_PODS, message), Phase.PENDING, requeue_after=SOON)
    message = (
        f"checkpoints.storage: {rival.kind} {rival.name}, which has not ended, writes to {rival.place}. This "
        "job starts when that one has ended or is gone. To train both at once, create this one with another "
        "checkpoints.storage.subPath (or output.storage.subPath)."
    )
    situation = Situation(State.BLOCKED, Reason.DIRECTORY_IN_USE, message)
    return Decision(status, situation, Phase.STALLED, requeue_after=LATER)


def _obstacle(scene: Scene, status: FineTuneJobStatus, number: int) -> Decision | None:
    """What the shell met when it carried out the plan to create this attempt, or was about to."""
    if (rival := scene.observed.rival) is not None:
        return _in_use(status, number, rival)
    for conflict in scene.observed.conflicts:
        if conflict.leftover:
            message = f"{conflict.kind} {conflict.name} is in the way and is being deleted."
            return Decision(
                status, progressing(Reason.NAME_CONFLICT, message), Phase.PENDING, requeue_after=SOON
            )
        message = (
            f"{conflict.kind} {conflict.name} is there already and belongs to {conflict.owner}; it was not "
            "touched. Delete it, or create the job under another name."
        )
        situation = Situation(State.BLOCKED, Reason.NAME_CONFLICT, message)
        return Decision(status, situation, Phase.STALLED, requeue_after=LATER)
    for refused in scene.observed.refusals:
        message = f"The API server refuses {refused.kind} {refused.name}: {refused.message}"
        if not refused.permanent:
            return Decision(
                status, progressing(Reason.PODS_REFUSED, message), Phase.PENDING, requeue_after=LATER
            )
        started = refusal.has_started(status)
        return Decision(
            status,
            Situation(State.BLOCKED if started else State.REJECTED, Reason.INVALID_SPEC, message),
            Phase.STALLED,
            delete=cleanup.attempt_refs(scene.job, number),
            requeue_after=LATER if started else None,
        )
    return None
