"""Policy: a pod that was to have ended by now, of which nobody says that it has, is named with the way out.

Its node is away, maybe for good. Until somebody says so, by the Node object or by a forced deletion, the pod
may still write to the volume, and nothing else may start.
"""

from __future__ import annotations

from dataclasses import replace

from finetune_api import Reason
from finetune_operator.deciding.conditions import State
from finetune_operator.deciding.planning import Decision
from finetune_operator.deciding.scene import Scene
from finetune_operator.observation import CLOCKS_DIFFER


def told(scene: Scene, decision: Decision) -> Decision:
    """The decision, with the first such pod in its message; it looks again when one may be overdue."""
    situation = decision.situation
    if situation is None or situation.state is not State.PROGRESSING or situation.reason is Reason.NODE_LOST:
        return decision
    going = [(pod.gone_by, pod) for pod in scene.live_pods if pod.gone_by is not None and pod.node]
    if not going:
        return decision
    gone_by, pod = min(going, key=lambda each: each[0])
    wait = (gone_by + CLOCKS_DIFFER - scene.now).total_seconds()
    if wait > 0:
        again = decision.requeue_after
        return replace(decision, requeue_after=wait if again is None else min(wait, again))
    message = (
        f"{situation.message} Pod {pod.name} was to have ended by {gone_by:%H:%M:%S} UTC; node {pod.node} "
        "does not say that it has. It ends when the node is back, or its Node object is deleted. If nothing "
        f"of it can run any more, `kubectl delete pod {pod.name} --force` lets the job go on."
    )
    return replace(decision, situation=replace(situation, message=message))
