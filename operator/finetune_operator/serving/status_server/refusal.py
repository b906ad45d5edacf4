"""Why a report was not taken: an HTTP status, a code for programs, a sentence for people."""

from __future__ import annotations


class RefusedError(Exception):
    """The report is not taken."""

    def __init__(self, status: int, code: str, message: str, *, retry_after: float | None = None) -> None:
        """`code` is CamelCase and stable; `retry_after` is in seconds, where trying again makes sense."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after
