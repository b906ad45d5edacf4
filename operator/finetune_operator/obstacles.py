"""What stands in the way of an attempt: what the shell met when it created one, or was about to, with which
`decide` is asked again, and what Kubernetes complains of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Conflict:
    """An object that bears a name we need and belongs to somebody else; found when we tried to create ours.

    `leftover` is true for a child of a deleted FineTuneJob of the same name, or for an object that is being
    deleted: it will go away by itself.
    """

    kind: str
    name: str
    owner: str
    leftover: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """An object that the API server did not accept; found when we tried to create it.

    `permanent` is true when trying again can't help (422: the object is invalid), false for what may pass
    (a quota is used up, an admission webhook said no or does not answer). `message` is the API server's.
    """

    kind: str
    name: str
    message: str
    permanent: bool


@dataclass(frozen=True, slots=True)
class Rival:
    """Another FineTuneJob that has the directory which this one would write to, or a pod of a deleted one
    that may still write there; found when an attempt was about to be created. `place` says where, in words.
    """

    kind: str
    name: str
    place: str


@dataclass(frozen=True, slots=True)
class Complaint:
    """The last that Kubernetes has said of a Job or pod, where that was a warning."""

    kind: str
    name: str
    reason: str
    message: str
