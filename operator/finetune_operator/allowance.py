"""How often one job may have something done: a report taken, an event written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from finetune_operator.keys import JobKey


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class Allowance:
    """A token bucket per job: `rate` per second on average, `burst` at once."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._buckets: dict[JobKey, _Bucket] = {}
        self._fills_in = burst / rate
        self._dropped_at = clock()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: JobKey) -> float:
        """Use one up. Returns 0 if there was one, else the seconds until there will be."""
        now = self._clock()
        self._drop_full(now)
        bucket = self._buckets.setdefault(key, _Bucket(self._burst, now))
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.filled_at) * self._rate)
        bucket.filled_at = now
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / self._rate
        bucket.tokens -= 1
        return 0.0

    def _drop_full(self, now: float) -> None:
        """Forget the buckets that have filled up since: a new one is as full. Jobs that are gone go so."""
        if now - self._dropped_at < self._fills_in:
            return
        self._dropped_at = now
        full = now - self._fills_in
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if bucket.filled_at > full}
