"""A queue of keys: each key waits at most once, runs at most once at a time, and comes back when told to.

What Kubernetes controllers call a work queue: `add` says that something about a key may have changed. Many
adds are one run. A key that is added while it runs, runs again afterwards. A free worker goes to the tenant
that has the fewest, and there to the key that fell due first: neither a busy key nor a tenant whose runs are
slow can starve the others.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays that double with every failure in a row, with jitter so that failures do not march in step."""

    initial: float
    """Seconds after the first failure, before jitter."""
    maximum: float

    def delay(self, failures: int, jitter: Callable[[], float] = random.random) -> float:
        """Seconds to wait after `failures` (1 or more) in a row: from half to all of the doubled delay."""
        # 2**63 is far beyond any maximum; without the cap the power itself would overflow a float one day.
        ceiling = min(self.maximum, self.initial * 2.0 ** min(failures - 1, 63))
        return ceiling * (0.5 + 0.5 * jitter())


class KeyedQueue(Generic[K]):
    """De-duplicating, delaying, per-key serialising queue for one event loop. Not for threads."""

    def __init__(self, backoff: Backoff, tenant_of: Callable[[K], Hashable] = lambda _: None) -> None:
        """`tenant_of` says who a key works for."""
        self._backoff = backoff
        self._tenant_of = tenant_of
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = itertools.count()
        self._ready: dict[Hashable, deque[K]] = {}
        """Keys that have fallen due, by tenant; none is empty."""
        self._running: set[K] = set()
        self._workers_of: Counter[Hashable] = Counter()
        self._failures: dict[K, int] = {}
        self._waiting: deque[asyncio.Future[K]] = deque()
        self._alarm: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Keys that wait, now due or later; running ones are not counted unless they are to run again."""
        return len(self._due)

    @property
    def overdue(self) -> int:
        """Keys that could run now and wait for a worker."""
        now = asyncio.get_running_loop().time()
        return sum(due <= now for due in self._due.values())

    @property
    def running(self) -> int:
        """Keys that a worker holds."""
        return len(self._running)

    def add(self, key: K, delay: float = 0.0) -> None:
        """Ask for `key` to be run in `delay` seconds; an earlier time already asked for stands."""
        due = asyncio.get_running_loop().time() + delay
        if key in self._due and self._due[key] <= due:
            return
        self._due[key] = due
        if key not in self._running:
            heapq.heappush(self._heap, (due, next(self._order), key))
            self._hand_out()

    async def get(self) -> K:
        """Wait for a key that is due and not running; it is then running until `done`."""
        future: asyncio.Future[K] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._hand_out()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                key = future.result()
                self._release(key)
                self.add(key)
            raise

    def done(self, key: K) -> None:
        """The run of `key` is over; if it was added meanwhile, it is due again."""
        self._release(key)
        if key in self._due:
            heapq.heappush(self._heap, (self._due[key], next(self._order), key))
            self._hand_out()

    def retry(self, key: K, at_most: float | None = None) -> float:
        """The run of `key` failed: ask for another after a delay (seconds), which is returned.

        `at_most` is the longest delay that makes sense after this failure; None: that of the back-off.
        """
        failures = self._failures.get(key, 0) + 1
        self._failures[key] = failures
        delay = self._backoff.delay(failures)
        if at_most is not None:
            delay = min(delay, at_most)
        self.add(key, delay)
        return delay

    def forgive(self, key: K) -> None:
        """The run of `key` succeeded: its next failure is the first one again."""
        self._failures.pop(key, None)

    def _hand_out(self) -> None:
        """Give every due key to a waiting worker; set the alarm for the next one to fall due."""
        loop = asyncio.get_running_loop()
        self._take_due(loop.time())
        while self._ready and (worker := self._next_worker()):
            key = self._next_key()
            del self._due[key]
            self._running.add(key)
            self._workers_of[self._tenant_of(key)] += 1
            worker.set_result(key)
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = loop.call_at(self._heap[0][0], self._hand_out) if self._heap else None

    def _take_due(self, now: float) -> None:
        """Move the keys that have fallen due from the heap to their tenants."""
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            # else superseded by an earlier time, or waiting for `done`
            if self._due.get(key) == due and key not in self._running:
                self._ready.setdefault(self._tenant_of(key), deque()).append(key)

    def _next_key(self) -> K:
        """Of the tenants with the fewest workers, the one that has waited longest has its turn."""
        tenant = min(self._ready, key=lambda each: self._workers_of[each])
        keys = self._ready.pop(tenant)
        key = keys.popleft()
        if keys:
            self._ready[tenant] = keys
        return key

    def _release(self, key: K) -> None:
        self._running.discard(key)
        tenant = self._tenant_of(key)
        self._workers_of[tenant] -= 1
        if not self._workers_of[tenant]:
            del self._workers_of[tenant]

    def _next_worker(self) -> asyncio.Future[K] | None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                return future
        return None
