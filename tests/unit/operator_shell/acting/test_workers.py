"""The workers: every key is reconciled, a failure is tried again, and nothing is cut off when they stop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from finetune_operator.acting.workers import Workers
from finetune_operator.errors import ApiError, ConflictError
from finetune_operator.keys import JobKey
from finetune_operator.metrics import Metrics
from finetune_operator.watching.queue import Backoff, KeyedQueue

A, B = JobKey("team", "a"), JobKey("team", "b")
Reconcile = Callable[[JobKey], Awaitable[float | None]]


class Rig:
    """Two workers with a reconcile that the test provides."""

    def __init__(self) -> None:
        self.queue: KeyedQueue[JobKey] = KeyedQueue(Backoff(initial=0.001, maximum=0.01))
        self.metrics = Metrics()
        self.workers: Workers

    def start(self, reconcile: Reconcile, timeout: float = 5.0) -> None:
        self.workers = Workers(self.queue, reconcile, self.metrics, count=2, timeout=timeout)
        self.workers.start()

    def errors(self, kind: str) -> float:
        return (
            self.metrics.registry.get_sample_value("finetune_reconcile_errors_total", {"error": kind}) or 0.0
        )


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    yield rig
    await rig.workers.stop(0)


async def soon(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), timeout=5)


async def test_reconciles_what_is_queued(rig: Rig) -> None:
    seen, both = set(), asyncio.Event()

    async def reconcile(key: JobKey) -> None:
        seen.add(key)
        if seen == {A, B}:
            both.set()

    rig.start(reconcile)
    rig.queue.add(A)
    rig.queue.add(B)
    await soon(both)


async def test_comes_back_when_asked_to(rig: Rig) -> None:
    runs, again = [], asyncio.Event()

    async def reconcile(key: JobKey) -> float | None:
        runs.append(key)
        if len(runs) == 2:
            again.set()
            return None
        return 0.001

    rig.start(reconcile)
    rig.queue.add(A)
    await soon(again)


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (ConflictError("changed"), "conflict"),
        (ApiError("down"), "api"),
        (TimeoutError(), "api"),
        (ZeroDivisionError("a bug"), "internal"),
    ],
    ids=["conflict", "api", "timeout", "bug"],
)
async def test_a_failure_is_counted_and_tried_again(rig: Rig, failure: Exception, kind: str) -> None:
    failures, recovered = [failure, failure], asyncio.Event()

    async def reconcile(_: JobKey) -> None:
        if failures:
            raise failures.pop()
        recovered.set()

    rig.start(reconcile)
    rig.queue.add(A)
    await soon(recovered)
    assert rig.errors(kind) == 2
    assert rig.workers.dead == 0


async def test_a_reconcile_that_hangs_is_cut_off_and_tried_again(rig: Rig) -> None:
    hangs, recovered = [True], asyncio.Event()

    async def reconcile(_: JobKey) -> None:
        if hangs.pop() if hangs else False:
            await asyncio.Event().wait()
        recovered.set()

    rig.start(reconcile, timeout=0.01)
    rig.queue.add(A)
    await soon(recovered)


async def test_stopping_lets_a_reconcile_end_and_takes_up_nothing_new(rig: Rig) -> None:
    begun, go_on, runs = asyncio.Event(), asyncio.Event(), []

    async def reconcile(key: JobKey) -> None:
        begun.set()
        await go_on.wait()
        runs.append(key)

    rig.start(reconcile)
    rig.queue.add(A)
    await soon(begun)
    stopping = asyncio.create_task(rig.workers.stop(5))
    await asyncio.sleep(0)
    rig.queue.add(B)
    go_on.set()
    await asyncio.wait_for(stopping, timeout=5)
    assert runs == [A]


async def test_stopping_does_not_wait_for_ever(rig: Rig) -> None:
    begun = asyncio.Event()

    async def reconcile(_: JobKey) -> None:
        begun.set()
        await asyncio.Event().wait()

    rig.start(reconcile)
    rig.queue.add(A)
    await soon(begun)
    await asyncio.wait_for(rig.workers.stop(0.01), timeout=5)
