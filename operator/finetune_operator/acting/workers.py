"""The workers: take a key, reconcile it, come back when asked to or after a failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from finetune_operator import logs
from finetune_operator.errors import ApiError, ConflictError, UnreachableError
from finetune_operator.keys import JobKey
from finetune_operator.metrics import Metrics
from finetune_operator.watching.queue import KeyedQueue

logger = logging.getLogger(__name__)

UNREACHABLE_SECONDS = 10.0
"""A job waits no longer for its next try while nobody answers: asking costs nobody anything then."""

Reconcile = Callable[[JobKey], Awaitable[float | None]]


class Workers:
    """N tasks that empty the queue."""

    def __init__(
        self, queue: KeyedQueue[JobKey], reconcile: Reconcile, metrics: Metrics, *, count: int, timeout: float
    ) -> None:
        """`reconcile` returns in how many seconds it wants to look again; `timeout` (seconds) cuts it off."""
        self._queue = queue
        self._reconcile = reconcile
        self._metrics = metrics
        self._count = count
        self._timeout = timeout
        self._tasks: dict[asyncio.Task[None], bool] = {}

    def start(self) -> None:
        """Begin to work."""
        for number in range(self._count):
            self._tasks[asyncio.create_task(self._work(), name=f"worker-{number}")] = False

    @property
    def dead(self) -> int:
        """Workers that ended though nobody stopped them; there should be none."""
        return sum(task.done() for task in self._tasks)

    async def stop(self, grace: float) -> None:
        """Let what is being reconciled come to its end, `grace` seconds at most; take up nothing new."""
        tasks, self._tasks = self._tasks, {}
        for task in tasks:
            if not tasks[task]:
                task.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self) -> None:
        task = asyncio.current_task()
        while task in self._tasks:
            key = await self._queue.get()
            self._tasks[task] = True
            try:
                with logs.about(key), self._metrics.reconcile_seconds.time():
                    await self._run(key)
            finally:
                self._queue.done(key)
                if task in self._tasks:
                    self._tasks[task] = False

    async def _run(self, key: JobKey) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                again = await self._reconcile(key)
        except ConflictError as error:
            self._metrics.reconcile_errors.labels("conflict").inc()
            logger.debug("the job changed under our hands, deciding again: %s", error)
            self._queue.retry(key)
        except (ApiError, TimeoutError) as error:
            self._metrics.reconcile_errors.labels("api").inc()
            at_most = UNREACHABLE_SECONDS if isinstance(error, UnreachableError) else None
            delay = self._queue.retry(key, at_most)
            logger.warning("reconcile failed, again in %.1f s: %s", delay, error or "timed out")
        except Exception:
            self._metrics.reconcile_errors.labels("internal").inc()
            logger.exception("reconcile failed, again in %.1f s", self._queue.retry(key))
        else:
            self._queue.forgive(key)
            if again is not None:
                self._queue.add(key, again)
