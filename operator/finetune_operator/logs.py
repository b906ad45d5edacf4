"""Logs: one JSON object per line, each with the job it is about."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from finetune_operator.keys import JobKey

_job: ContextVar[JobKey | None] = ContextVar("job", default=None)


@contextmanager
def about(key: JobKey) -> Iterator[None]:
    """Every record logged inside carries `job: namespace/name`."""
    token = _job.set(key)
    try:
        yield
    finally:
        _job.reset(token)


class _JobFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        key = _job.get()
        record.job = str(key) if key else None
        return True


class JsonFormatter(logging.Formatter):
    """`time`, `level`, `logger`, `message`, and `job` and `error` where there are any."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        line: dict[str, str] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if job := getattr(record, "job", None):
            line["job"] = job
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """The same for people at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """`time level [job] message`."""
        job = getattr(record, "job", None)
        time = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        text = f"{time} {record.levelname:<7} {f'[{job}] ' if job else ''}{record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def configure(level: str, style: str) -> None:
    """Send every record to standard error, in the given style (`json` or `text`)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    handler.addFilter(_JobFilter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Kopf tells of every event it hands over, aiohttp of every request: too much, and nothing of ours.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def hush_watches() -> None:
    """Let Kopf's end pass in silence: it cancels its tasks in the middle of requests and calls that errors.

    To be called when nothing of ours runs any more, so that nothing of ours is hidden.
    """
    for name in ("kopf", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
