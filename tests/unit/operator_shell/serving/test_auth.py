"""Who may report: the pods of the attempt, with a token for that very job, and nobody else."""

import asyncio
import base64
import json
from typing import Any

import pytest

from finetune_operator.cluster import PODS, Resource
from finetune_operator.errors import ApiError, NotFoundError
from finetune_operator.keys import JobKey
from finetune_operator.observation import ObservedJob, ObservedPod
from finetune_operator.serving.status_server.auth import (
    REMEMBER_REFUSED_SECONDS,
    REMEMBER_SECONDS,
    Authenticator,
    BoundPod,
    Reporter,
    audience,
)
from finetune_operator.serving.status_server.refusal import RefusedError
from finetune_operator.watching.cache import Cache, Manifest
from finetune_operator.watching.state import child_cache

KEY = JobKey("team", "tune")
WALL = 1_800_000_000.0


def child(kind: str, name: str, uid: str, *, owner: str, version: int = 5) -> dict[str, Any]:
    return {
        "kind": kind,
        "metadata": {
            "namespace": "team",
            "name": name,
            "uid": uid,
            "resourceVersion": str(version),
            "labels": {"finetune.dev/job": "tune", "finetune.dev/attempt": "1"},
            "ownerReferences": [{"uid": owner, "controller": True, "kind": "x", "name": "x"}],
        },
    }


def finetune_job(uid: str, version: int = 1) -> dict[str, Any]:
    metadata = {"namespace": "team", "name": "tune", "uid": uid, "resourceVersion": str(version)}
    return {"kind": "FineTuneJob", "metadata": metadata}


POD = child("Pod", "tune-1-0", "pod-uid", owner="job-uid")


def token(expires: float = WALL + 3600, key: JobKey = KEY) -> str:
    """What a pod of a job holds."""
    claims = {"exp": expires, "aud": [audience(key)]}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"head.{payload}.signature"


class Reviewer:
    """An API server that knows one token and one pod."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.pods: dict[str, dict[str, Any]] = {}
        self.down = False
        self.status: dict[str, Any] = {
            "authenticated": True,
            "audiences": [audience(KEY)],
            "user": {
                "username": "system:serviceaccount:team:default",
                "extra": {
                    "authentication.kubernetes.io/pod-name": ["tune-1-0"],
                    "authentication.kubernetes.io/pod-uid": ["pod-uid"],
                },
            },
        }

    async def review_token(self, token: str, audience: str) -> dict[str, Any]:
        self.asked.append((token, audience))
        if self.down:
            raise ApiError("down")
        return self.status

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        assert (resource, namespace) == (PODS, "team")
        if self.down:
            raise ApiError("down")
        if name not in self.pods:
            raise NotFoundError(name)
        return self.pods[name]


@pytest.fixture
def reviewer() -> Reviewer:
    return Reviewer()


@pytest.fixture
def pods() -> Cache[ObservedPod]:
    cache = child_cache(ObservedPod.from_kubernetes)
    cache.put(POD)
    return cache


@pytest.fixture
def finetune_jobs() -> Cache[Manifest]:
    cache: Cache[Manifest] = Cache(dict, lambda _: KEY)
    cache.put(finetune_job("ftj-uid"))
    return cache


@pytest.fixture
def jobs() -> Cache[ObservedJob]:
    cache = child_cache(ObservedJob.from_kubernetes)
    cache.put(child("Job", "tune-1", "job-uid", owner="ftj-uid"))
    return cache


@pytest.fixture
def authenticator(
    reviewer: Reviewer,
    finetune_jobs: Cache[Manifest],
    jobs: Cache[ObservedJob],
    pods: Cache[ObservedPod],
    clock: Any,
) -> Authenticator:
    return Authenticator(reviewer, finetune_jobs, jobs, pods, clock=clock, wall_clock=lambda: WALL)


async def refused(authenticator: Authenticator, key: JobKey = KEY, attempt: int = 1) -> tuple[int, str]:
    with pytest.raises(RefusedError) as refusal:
        await authenticator.admit(token(key=key), key, attempt)
    return refusal.value.status, refusal.value.code


async def test_admits_a_pod_of_the_attempt(authenticator: Authenticator) -> None:
    assert (await authenticator.admit(token(), KEY, 1)) == Reporter(
        BoundPod("team", "tune-1-0", "pod-uid"), "ftj-uid"
    )


async def test_refuses_a_token_that_is_not_good(authenticator: Authenticator, reviewer: Reviewer) -> None:
    reviewer.status = {"authenticated": False}
    assert await refused(authenticator) == (401, "Unauthorized")


async def test_refuses_a_token_for_another_audience(authenticator: Authenticator, reviewer: Reviewer) -> None:
    reviewer.status["audiences"] = ["https://kubernetes.default.svc"]
    assert await refused(authenticator) == (401, "Unauthorized")


async def test_refuses_a_person(authenticator: Authenticator, reviewer: Reviewer) -> None:
    reviewer.status["user"]["username"] = "alice"
    assert await refused(authenticator) == (401, "Unauthorized")


async def test_refuses_a_token_bound_to_no_pod(authenticator: Authenticator, reviewer: Reviewer) -> None:
    reviewer.status["user"]["extra"] = {}
    assert await refused(authenticator) == (401, "Unauthorized")


async def test_refuses_another_namespace(authenticator: Authenticator, reviewer: Reviewer) -> None:
    reviewer.status["user"]["username"] = "system:serviceaccount:elsewhere:default"
    assert await refused(authenticator) == (403, "ForeignNamespace")


async def test_refuses_the_pod_of_another_attempt(authenticator: Authenticator) -> None:
    assert await refused(authenticator, attempt=2) == (403, "ForeignPod")


async def test_refuses_the_pod_of_another_job(
    authenticator: Authenticator, reviewer: Reviewer, jobs: Cache[ObservedJob]
) -> None:
    reviewer.status["audiences"] = [audience(JobKey("team", "other"))]
    others = child("Job", "other-1", "other-uid", owner="other-ftj")
    others["metadata"]["labels"]["finetune.dev/job"] = "other"
    jobs.put(others)
    assert await refused(authenticator, JobKey("team", "other")) == (403, "ForeignPod")


async def test_refuses_a_pod_that_only_wears_the_labels(
    authenticator: Authenticator, reviewer: Reviewer, pods: Cache[ObservedPod]
) -> None:
    pods.put(child("Pod", "tune-1-0", "pod-uid", owner="nobody", version=6))
    assert await refused(authenticator) == (403, "ForeignPod")


async def test_refuses_an_earlier_pod_of_that_name(authenticator: Authenticator, reviewer: Reviewer) -> None:
    reviewer.status["user"]["extra"]["authentication.kubernetes.io/pod-uid"] = ["an-older-pod"]
    assert await refused(authenticator) == (403, "ForeignPod")


async def test_refuses_a_pod_that_saves_for_a_job_which_was_deleted_and_created_again(
    authenticator: Authenticator, finetune_jobs: Cache[Manifest]
) -> None:
    finetune_jobs.put(finetune_job("of-today", version=9))
    assert await refused(authenticator) == (403, "ForeignPod")
    finetune_jobs.forget("team", "tune", "of-today")
    assert await refused(authenticator) == (403, "ForeignPod")


async def test_asks_for_a_pod_that_the_watch_has_not_told_of_yet(
    authenticator: Authenticator, reviewer: Reviewer, pods: Cache[ObservedPod]
) -> None:
    pods.forget("team", "tune-1-0", "pod-uid")
    reviewer.pods["tune-1-0"] = child("Pod", "tune-1-0", "pod-uid", owner="job-uid", version=6)
    assert (await authenticator.admit(token(), KEY, 1)).pod.uid == "pod-uid"


async def test_says_try_later_when_the_api_server_is_down(
    authenticator: Authenticator, reviewer: Reviewer
) -> None:
    reviewer.down = True
    assert await refused(authenticator) == (503, "TokenReviewFailed")
    reviewer.down = False
    await authenticator.admit(token(), KEY, 1)


async def test_remembers_a_good_token_for_a_while(
    authenticator: Authenticator, reviewer: Reviewer, clock: Any
) -> None:
    for _ in range(3):
        await authenticator.admit(token(), KEY, 1)
    assert len(reviewer.asked) == 1
    clock.advance(REMEMBER_SECONDS + 1)
    await authenticator.admit(token(), KEY, 1)
    assert len(reviewer.asked) == 2


async def test_does_not_remember_a_token_beyond_its_life(
    authenticator: Authenticator, reviewer: Reviewer, clock: Any
) -> None:
    short = token(expires=WALL + 10)
    await authenticator.admit(short, KEY, 1)
    clock.advance(11)
    reviewer.status = {"authenticated": False}
    with pytest.raises(RefusedError):
        await authenticator.admit(short, KEY, 1)


async def test_does_not_ask_again_at_once_about_a_bad_token(
    authenticator: Authenticator, reviewer: Reviewer, clock: Any
) -> None:
    reviewer.status = {"authenticated": False}
    for _ in range(5):
        await refused(authenticator)
    assert len(reviewer.asked) == 1
    clock.advance(REMEMBER_REFUSED_SECONDS + 1)
    await refused(authenticator)
    assert len(reviewer.asked) == 2


async def test_many_tokens_do_not_pile_up(
    authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune_operator.serving.status_server.auth.REMEMBER_TOKENS", 10)
    await asyncio.gather(*(authenticator.admit(token(WALL + n), KEY, 1) for n in range(100, 200)))
    assert len(authenticator._good) == 10


async def test_bad_tokens_do_not_make_a_good_one_forgotten(
    authenticator: Authenticator, reviewer: Reviewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune_operator.serving.status_server.auth.REMEMBER_TOKENS", 10)
    await authenticator.admit(token(), KEY, 1)
    reviewer.status = {"authenticated": False}
    for n in range(100, 200):
        with pytest.raises(RefusedError):
            await authenticator.admit(token(WALL + n), KEY, 1)
    assert len(authenticator._bad) == 10
    await authenticator.admit(token(), KEY, 1)


@pytest.mark.parametrize(
    "rubbish", ["", "x", "a.b.c", "a.!.c", "a." + "W" * 6000 + ".c", token(key=JobKey("team", "other"))]
)
async def test_what_does_not_claim_to_be_for_the_job_costs_the_api_server_nothing(
    authenticator: Authenticator, reviewer: Reviewer, rubbish: str
) -> None:
    with pytest.raises(RefusedError) as refusal:
        await authenticator.admit(rubbish, KEY, 1)
    assert refusal.value.status == 401
    assert reviewer.asked == []


async def test_attempts_that_are_not_there_cost_the_api_server_nothing(
    authenticator: Authenticator, reviewer: Reviewer
) -> None:
    assert await refused(authenticator, attempt=7) == (403, "ForeignPod")
    assert await refused(authenticator, JobKey("team", "nobody")) == (403, "ForeignPod")
    assert reviewer.asked == []
