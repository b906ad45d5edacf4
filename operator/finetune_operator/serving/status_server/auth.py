"""Who may report for an attempt: a pod of that attempt, and nobody else.

A pod holds a projected ServiceAccount token whose audience names the job. The API server says whether the
token is good and to which pod it is bound (TokenReview); the operator knows which pods an attempt has. Good
answers are remembered by the token's hash, for five minutes at most and never beyond the token's own life.

Anybody in the cluster can reach the server. What does not even claim to be a token for an attempt that is
there costs the API server nothing, and no number of bad tokens makes a good one forgotten.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from finetune_api import GROUP
from finetune_operator.cluster import PODS, Resource
from finetune_operator.errors import ApiError, NotFoundError
from finetune_operator.keys import JobKey
from finetune_operator.observation import ObservedJob, ObservedPod
from finetune_operator.serving.status_server.refusal import RefusedError
from finetune_operator.watching.cache import Cache, Manifest

REMEMBER_SECONDS = 300.0
REMEMBER_REFUSED_SECONDS = 10.0
REMEMBER_TOKENS = 4096
REVIEWS_AT_ONCE = 16

_POD_NAME = "authentication.kubernetes.io/pod-name"
_POD_UID = "authentication.kubernetes.io/pod-uid"


def audience(key: JobKey) -> str:
    """The audience of the tokens with which the pods of a job report."""
    return f"{GROUP}/{key.namespace}/{key.name}"


class TokenReviewer(Protocol):
    """What is needed of the cluster."""

    async def review_token(self, token: str, audience: str) -> dict[str, Any]:
        """The status of a TokenReview."""

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        """One object."""


@dataclass(frozen=True, slots=True)
class BoundPod:
    """The pod that a token was made for."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who reports: a pod, for the FineTuneJob with this UID."""

    pod: BoundPod
    job_uid: str


@dataclass(frozen=True, slots=True)
class _Answer:
    pod: BoundPod | None
    refusal: str
    until: float


class Authenticator:
    """Admits the pods of an attempt."""

    def __init__(
        self,
        reviewer: TokenReviewer,
        finetune_jobs: Cache[Manifest],
        jobs: Cache[ObservedJob],
        pods: Cache[ObservedPod],
        *,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        """`clock` is monotonic, `wall_clock` is seconds since the epoch; both in seconds."""
        self._reviewer = reviewer
        self._finetune_jobs = finetune_jobs
        self._jobs = jobs
        self._pods = pods
        self._clock = clock
        self._wall_clock = wall_clock
        self._good: OrderedDict[bytes, _Answer] = OrderedDict()
        self._bad: OrderedDict[bytes, _Answer] = OrderedDict()
        self._reviews = asyncio.Semaphore(REVIEWS_AT_ONCE)

    async def admit(self, token: str, key: JobKey, attempt: int) -> Reporter:
        """Return the pod that holds `token`, if it may report for this attempt, and the job that it is of.

        Raises:
            RefusedError: 401 if the token is no good for this job, 403 if its pod is not of this attempt, 503
            if the
                API server could not be asked.
        """
        if not any(child.value.attempt == attempt for child in self._jobs.of_job(key)):
            raise RefusedError(403, "ForeignPod", f"there is no attempt {attempt} of {key}")
        pod = await self._bound_pod(token, key)
        if pod.namespace != key.namespace:
            raise RefusedError(403, "ForeignNamespace", f"this token is of namespace {pod.namespace!r}")
        owner = await self._owner(pod, key, attempt)
        if owner is None:
            raise RefusedError(
                403,
                "ForeignPod",
                f"pod {pod.name!r} (uid {pod.uid}) is not a pod of attempt {attempt} of {key}",
            )
        return Reporter(pod, owner)

    async def _bound_pod(self, token: str, key: JobKey) -> BoundPod:
        wanted = audience(key)
        if not _claims_to_be_for(token, wanted):
            raise RefusedError(401, "Unauthorized", f"the token is not for the audience {wanted!r}")
        digest = hashlib.sha256(f"{wanted}\0{token}".encode()).digest()
        answer = self._good.get(digest) or self._bad.get(digest)
        if answer is None or answer.until <= self._clock():
            answer = await self._ask(token, wanted)
            self._remember(digest, answer)
        if answer.pod is None:
            raise RefusedError(401, "Unauthorized", answer.refusal)
        return answer.pod

    def _remember(self, digest: bytes, answer: _Answer) -> None:
        self._good.pop(digest, None)
        self._bad.pop(digest, None)
        answers = self._bad if answer.pod is None else self._good
        answers[digest] = answer
        while len(answers) > REMEMBER_TOKENS:
            answers.popitem(last=False)

    async def _ask(self, token: str, wanted: str) -> _Answer:
        async with self._reviews:
            try:
                status = await self._reviewer.review_token(token, wanted)
            except ApiError as error:
                raise RefusedError(
                    503,
                    "TokenReviewFailed",
                    "the API server could not be asked about the token",
                    retry_after=5,
                ) from error
        now = self._clock()
        pod, refusal = _judge(status, wanted)
        if pod is None:
            return _Answer(None, refusal, now + REMEMBER_REFUSED_SECONDS)
        left = _expiry(token) - self._wall_clock()
        return _Answer(pod, "", now + min(REMEMBER_SECONDS, max(0.0, left)))

    async def _owner(self, pod: BoundPod, key: JobKey, attempt: int) -> str | None:
        """The UID of the FineTuneJob that is there now, if the pod is of this attempt of it.

        A pod of an earlier job of that name may live on for as long as it takes to save a checkpoint.
        """
        known = self._pods.get(pod.namespace, pod.name)
        if known is None or known.uid != pod.uid:
            try:  # the pod may be faster than the watch that tells of it
                self._pods.put(await self._reviewer.get(PODS, pod.namespace, pod.name))
            except NotFoundError:
                return None
            except ApiError as error:
                raise RefusedError(
                    503, "PodUnknown", "the API server could not be asked about the pod", retry_after=5
                ) from error
            known = self._pods.get(pod.namespace, pod.name)
        if known is None or known.uid != pod.uid or known.job != key or known.value.attempt != attempt:
            return None
        job = self._finetune_jobs.get(*key)
        mine = job is not None and any(
            child.uid == known.value.job_uid
            and child.value.attempt == attempt
            and child.value.owner_uid == job.uid
            for child in self._jobs.of_job(key)
        )
        return job.uid if job is not None and mine else None


def _judge(status: dict[str, Any], wanted: str) -> tuple[BoundPod | None, str]:
    if not status.get("authenticated"):
        return None, f"the token is not valid for the audience {wanted!r}"
    if wanted not in (status.get("audiences") or ()):
        return None, f"the token is not for the audience {wanted!r}"
    user = status.get("user") or {}
    parts = str(user.get("username", "")).split(":")
    extra = user.get("extra") or {}
    names, uids = extra.get(_POD_NAME) or (), extra.get(_POD_UID) or ()
    if parts[:2] != ["system", "serviceaccount"] or len(parts) != 4:
        return None, "the token is not a ServiceAccount's"
    if not names or not uids:
        return None, "the token is not bound to a pod; use the projected volume of the attempt's pods"
    return BoundPod(parts[2], str(names[0]), str(uids[0])), ""


def _expiry(token: str) -> float:
    """When a token that was found good expires, in seconds since the epoch; 0 if it does not say."""
    try:
        return float(_claims(token)["exp"])
    except (KeyError, TypeError, ValueError):
        return 0.0


def _claims_to_be_for(token: str, wanted: str) -> bool:
    """Whether the token says of itself that it is for this audience. Whether that is true, others decide."""
    audiences = _claims(token).get("aud")
    return wanted in audiences if isinstance(audiences, list) else wanted == audiences


def _claims(token: str) -> dict[str, Any]:
    """What a JSON Web Token says of itself, unproven; nothing where it is none."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
