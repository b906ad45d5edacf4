"""How a FineTuneJob is named inside the operator."""

from __future__ import annotations

from typing import NamedTuple


class JobKey(NamedTuple):
    """Namespace and name: what the queue holds, what everything about a job is filed under."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"
