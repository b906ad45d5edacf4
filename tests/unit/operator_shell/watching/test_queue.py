"""The keyed queue: one run per key at a time, many adds are one run, fair, and patient after failures."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.watching.queue import Backoff, KeyedQueue

T = TypeVar("T")


def queue() -> KeyedQueue[str]:
    return KeyedQueue(Backoff(initial=0.01, maximum=1.0))


async def soon(awaitable: Awaitable[T]) -> T:
    return await asyncio.wait_for(awaitable, timeout=5)


async def nothing_comes(q: KeyedQueue[str]) -> bool:
    """True if no key is handed out although the loop has had every occasion to do so."""
    getting = asyncio.ensure_future(q.get())
    for _ in range(10):
        await asyncio.sleep(0)
    idle = not getting.done()
    getting.cancel()
    return idle


async def test_hands_out_what_was_added() -> None:
    q = queue()
    q.add("a")
    assert await soon(q.get()) == "a"


async def test_a_worker_that_waits_gets_a_key_added_later() -> None:
    q = queue()
    getting = asyncio.create_task(q.get())
    await asyncio.sleep(0)
    q.add("a")
    assert await soon(getting) == "a"


async def test_many_adds_are_one_run() -> None:
    q = queue()
    for _ in range(100):
        q.add("a")
    assert len(q) == 1
    await soon(q.get())
    q.done("a")
    assert await nothing_comes(q)


async def test_keys_come_in_the_order_in_which_they_were_added() -> None:
    q = queue()
    for key in "abc":
        q.add(key)
    q.add("a")
    assert [await soon(q.get()) for _ in range(3)] == ["a", "b", "c"]


async def test_a_key_that_is_added_again_and_again_does_not_starve_the_others() -> None:
    q = queue()
    q.add("busy")
    q.add("patient")
    order = []
    for _ in range(4):
        key = await soon(q.get())
        order.append(key)
        q.add("busy")
        q.done(key)
    assert order[:2] == ["busy", "patient"]


async def test_a_key_that_runs_is_not_handed_to_a_second_worker() -> None:
    q = queue()
    q.add("a")
    await soon(q.get())
    q.add("a")
    assert await nothing_comes(q)
    assert q.running == 1
    q.done("a")
    assert await soon(q.get()) == "a"


async def test_counts_what_waits_for_a_worker_apart_from_what_is_for_later() -> None:
    q = queue()
    q.add("now")
    q.add("later", delay=3600)
    assert (q.overdue, len(q)) == (1, 2)


async def test_other_keys_run_while_one_is_running() -> None:
    q = queue()
    q.add("a")
    await soon(q.get())
    q.add("a")
    q.add("b")
    assert await soon(q.get()) == "b"


def shared_queue() -> KeyedQueue[str]:
    """One whose keys begin with the letter of their tenant."""
    return KeyedQueue(Backoff(initial=0.01, maximum=1.0), lambda key: key[0])


async def test_a_tenant_with_many_slow_keys_does_not_keep_the_workers_from_the_others() -> None:
    q = shared_queue()
    for number in range(9):
        q.add(f"a{number}")
    assert [await soon(q.get()) for _ in range(3)] == ["a0", "a1", "a2"]
    q.add("b0")
    q.add("b1")
    assert await soon(q.get()) == "b0"
    q.done("a0")
    assert await soon(q.get()) == "b1", "one worker against two"
    q.done("b0")
    q.done("b1")
    assert await soon(q.get()) == "a3", "nobody else wants one"


async def test_with_one_worker_tenants_take_turns() -> None:
    q = shared_queue()
    for key in ("a0", "a1", "a2", "b0", "c0", "b1"):
        q.add(key)
    order = []
    for _ in range(6):
        order.append(await soon(q.get()))
        q.done(order[-1])
    assert order == ["a0", "b0", "c0", "a1", "b1", "a2"]


async def test_a_delayed_key_waits_and_an_immediate_one_overtakes_it() -> None:
    q = queue()
    loop = asyncio.get_running_loop()
    start = loop.time()
    q.add("late", delay=0.05)
    q.add("now")
    assert await soon(q.get()) == "now"
    assert await soon(q.get()) == "late"
    # The loop's timers may fire early by its clock's resolution.
    assert loop.time() - start >= 0.05 - 2 * 0.001


async def test_an_earlier_time_wins_over_a_later_one_and_leaves_no_second_run() -> None:
    q = queue()
    q.add("a", delay=3600)
    q.add("a")
    q.add("a", delay=1800)
    assert await soon(q.get()) == "a"
    q.done("a")
    assert len(q) == 0
    assert await nothing_comes(q)


async def test_a_key_that_is_due_while_it_runs_comes_back_when_done() -> None:
    q = queue()
    q.add("a")
    await soon(q.get())
    q.add("a", delay=0.01)
    q.done("a")
    assert await soon(q.get()) == "a"


async def test_a_failed_key_comes_back_by_itself() -> None:
    q = queue()
    q.add("a")
    await soon(q.get())
    delay = q.retry("a")
    q.done("a")
    assert 0 < delay <= 0.01
    assert await soon(q.get()) == "a"


async def test_a_failure_that_is_soon_over_is_not_waited_out() -> None:
    q = KeyedQueue[str](Backoff(initial=100.0, maximum=100.0))
    assert q.retry("a", at_most=0.01) == 0.01
    assert await soon(q.get()) == "a"


async def test_success_forgives_earlier_failures() -> None:
    q: KeyedQueue[str] = KeyedQueue(Backoff(initial=1.0, maximum=1000.0))
    for _ in range(8):
        q.retry("a")
    q.forgive("a")
    assert q.retry("a") <= 1.0


async def test_a_worker_cancelled_while_it_was_given_a_key_gives_it_back() -> None:
    q = queue()
    getting = asyncio.create_task(q.get())
    await asyncio.sleep(0)
    q.add("a")
    getting.cancel()  # the key is already in the cancelled worker's hands
    with pytest.raises(asyncio.CancelledError):
        await getting
    assert q.running == 0
    assert await soon(q.get()) == "a"


async def test_workers_share_many_keys_and_each_key_runs_once() -> None:
    q: KeyedQueue[int] = KeyedQueue(Backoff(initial=0.01, maximum=1.0))
    runs: list[int] = []
    finished = asyncio.Event()

    async def work() -> None:
        while True:
            key = await q.get()
            await asyncio.sleep(0)
            runs.append(key)
            q.done(key)
            if len(runs) == 500:
                finished.set()

    workers = [asyncio.create_task(work()) for _ in range(8)]
    for key in range(500):
        q.add(key)
    await soon(finished.wait())
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    assert sorted(runs) == list(range(500))


@given(failures=st.integers(1, 10_000), jitter=st.floats(0, 1))
def test_backoff_stays_between_half_and_all_of_its_bounds(failures: int, jitter: float) -> None:
    delay = Backoff(initial=0.5, maximum=300.0).delay(failures, lambda: jitter)
    assert 0.25 <= delay <= 300.0


def test_backoff_doubles_up_to_its_maximum() -> None:
    backoff = Backoff(initial=1.0, maximum=10.0)
    assert [backoff.delay(n, lambda: 1.0) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]
