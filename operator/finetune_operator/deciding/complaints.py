"""Policy: where Kubernetes tells only in an event why an attempt does not begin, and what the event means.

A pod that can't be created (a quota, a policy, a ServiceAccount that is not there) is told of in an event
about the Job, a volume that can't be mounted in one about the pod; their status says nothing. Events are many
and cost the API server a walk through the namespace, so that they are asked for rather than watched: for
attempts that have waited for a while, less and less often.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from finetune_operator.observation import ObservedJob, ObservedPod
from finetune_operator.obstacles import Complaint

SOONEST_SECONDS = 10.0
LATEST_SECONDS = 300.0

_ON_THE_WAY = frozenset({None, "ContainerCreating", "PodInitializing"})


@dataclass(frozen=True, slots=True)
class Subject:
    """A Job or pod that may have been complained of."""

    kind: str
    name: str


def unexplained(child: ObservedJob, pods: Sequence[ObservedPod], nodes: int) -> tuple[Subject, ...]:
    """What does not go on and does not say why: a Job without all of its `nodes` pods, else the first pod
    that has a node and does not start."""
    if child.finished or child.suspended or child.deleting:
        return ()
    if len(pods) < nodes:
        return (Subject("Job", child.name),)
    stuck = (pod for pod in pods if is_stuck(pod))
    return tuple(Subject("Pod", pod.name) for pod in stuck)[:1]


def is_stuck(pod: ObservedPod) -> bool:
    """Whether the pod is on a node, has not started, and does not say why."""
    starting = pod.phase == "Pending" and pod.node is not None and not pod.deleting
    return starting and pod.waiting_reason in _ON_THE_WAY


def patience(child: ObservedJob, now: datetime) -> float:
    """In how many seconds it is time to ask (again) what keeps the attempt: as long as it has waited already,
    within bounds."""
    since = child.started_at or child.created_at or now
    return min(LATEST_SECONDS, max(SOONEST_SECONDS, (now - since).total_seconds()))


def has_waited(child: ObservedJob, now: datetime) -> bool:
    """Whether the attempt has waited for long enough to ask at all."""
    since = child.started_at or child.created_at or now
    return (now - since).total_seconds() >= SOONEST_SECONDS


def newest(events: Iterable[Mapping[str, Any]], uid: str | None = None) -> Mapping[str, Any] | None:
    """The newest of these events (events.k8s.io/v1) about one object.

    Those about an earlier object of its name (another `uid`) don't count.
    """
    told = [event for event in events if uid in (None, (event.get("regarding") or {}).get("uid"))]
    return max(told, key=lambda event: (_time(event), event.get("type") == "Warning"), default=None)


def last_word(
    subject: Subject, events: Iterable[Mapping[str, Any]], uid: str | None = None
) -> Complaint | None:
    """The newest of the events about a subject, if it is a warning.

    What came after a warning has overcome it: a pod whose image is pulled has its volumes.
    """
    event = newest(events, uid)
    if event is None or event.get("type") != "Warning":
        return None
    return Complaint(subject.kind, subject.name, event.get("reason") or "", event.get("note") or "")


def _time(event: Mapping[str, Any]) -> datetime:
    """When it was last seen: in the new way, in the old way, or as it was made."""
    series = event.get("series") or {}
    text = (
        series.get("lastObservedTime")
        or event.get("deprecatedLastTimestamp")
        or event.get("eventTime")
        or event["metadata"]["creationTimestamp"]
    )
    return datetime.fromisoformat(text).replace(microsecond=0)
