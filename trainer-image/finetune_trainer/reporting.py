"""Progress reports to the operator: sent by a thread of rank 0, which the training never waits for.

The thread keeps one report, the newest, so that a slow or absent server costs neither time nor memory: what
could not be sent is part of the next one. Where it goes:

- `KUBEFLOW_TRAINER_SERVER_URL`: POST with the token in the file `…_TOKEN` (read anew each time: kubelet
  rotates it), the server's certificate checked against `…_CA_CERT`;
- `FINETUNE_REPORT_FILE`: the same reports appended to a file, one JSON object per line, for `finetune run`.
"""

import json
import logging
import os
import ssl
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from finetune_api.protocol import (
    SERVER_CA_VARIABLE,
    SERVER_TOKEN_VARIABLE,
    SERVER_URL_VARIABLE,
    FineTuneReport,
    Metric,
    ProgressReport,
    TrainerStatus,
)
from finetune_api.status import MAX_WARNING_LENGTH

log = logging.getLogger(__name__)

REPORT_FILE_VARIABLE = "FINETUNE_REPORT_FILE"


class Sink(Protocol):
    """A place that takes reports. Raises `OSError` when it cannot take one now."""

    def send(self, report: ProgressReport, timeout: float) -> None: ...


@dataclass(frozen=True)
class ServerSink:
    """The operator's status server."""

    url: str
    token_file: Path | None
    ca_file: Path | None

    def send(self, report: ProgressReport, timeout: float) -> None:
        """POSTs the report; an answer of 4xx or 5xx is an `OSError` too.

        The way is direct: a proxy that the job names for its downloads does not know the cluster's names.
        """
        headers = {"Content-Type": "application/json"}
        if self.token_file is not None:
            headers["Authorization"] = f"Bearer {self.token_file.read_text(encoding='utf-8').strip()}"
        body = json.dumps(report.to_json_object()).encode()
        request = urllib.request.Request(self.url, data=body, headers=headers, method="POST")  # noqa: S310 - set by the operator
        context = None
        if self.url.startswith("https:"):
            context = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
        direct = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with direct.open(request, timeout=timeout):
            pass


@dataclass(frozen=True)
class FileSink:
    """A file that `finetune run` reads."""

    path: Path

    def send(self, report: ProgressReport, timeout: float) -> None:  # noqa: ARG002 - a file never waits
        """Appends the report as one line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(report.to_json_object()) + "\n")


def sinks(environment: Mapping[str, str] = os.environ) -> list[Sink]:
    """The places that the environment names."""
    found: list[Sink] = []
    if url := environment.get(SERVER_URL_VARIABLE):
        token, ca = environment.get(SERVER_TOKEN_VARIABLE), environment.get(SERVER_CA_VARIABLE)
        found.append(ServerSink(url, Path(token) if token else None, Path(ca) if ca else None))
    if path := environment.get(REPORT_FILE_VARIABLE):
        found.append(FileSink(Path(path)))
    return found


@dataclass(frozen=True)
class Pace:
    """How often reports are sent, in seconds."""

    interval: float = 2.0
    """Least time between two reports that are not urgent."""
    heartbeat: float = 15.0
    """Most time between two reports."""
    timeout: float = 5.0
    """Longest wait for the server's answer."""
    farewell: float = 10.0
    """Longest time at the end for the last report to arrive."""


class Reporter:
    """The state of the run as others should see it. `update` returns at once, from any thread."""

    def __init__(self, sinks: list[Sink], pace: Pace = Pace()) -> None:
        self._sinks = sinks
        self._pace = pace
        self._report = FineTuneReport()
        self._metrics: dict[str, str] = {}
        self._warnings: dict[str, str] = {}
        self._remaining: int | None = None
        self._changed = self._urgent = self._closing = False
        self._wake = threading.Condition()
        self._complaint = ""
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        if sinks:
            self._thread.start()

    def update(
        self,
        *,
        metrics: Mapping[str, str] | None = None,
        remaining_seconds: float | None = None,
        urgent: bool = False,
        **fields: Any,
    ) -> None:
        """Changes fields of the report (those of `FineTuneReport`), metrics, and the time left.

        An urgent one is sent now, others within the pace's interval.
        """
        with self._wake:
            self._report = self._report.model_copy(update=fields)
            self._metrics |= metrics or {}
            if remaining_seconds is not None:
                self._remaining = max(0, round(remaining_seconds))
            self._changed = True
            self._urgent = self._urgent or urgent
            self._wake.notify()

    def warn(self, topic: str, text: str) -> None:
        """Tells what is wrong without stopping the run; of each topic the newest text counts. It is cut to
        what a status holds."""
        with self._wake:
            self._warnings[topic] = text[:MAX_WARNING_LENGTH]
            told = list(self._warnings.values())
        self.update(warnings=told, urgent=True)

    @property
    def report(self) -> FineTuneReport:
        """Our part of the newest report."""
        with self._wake:
            return self._report

    @property
    def metrics(self) -> dict[str, str]:
        """Latest metrics, as decimal strings."""
        with self._wake:
            return dict(self._metrics)

    def close(self) -> None:
        """Sends what has not been sent, for as long as the pace allows, and ends the thread."""
        with self._wake:
            if self._closing:
                return
            self._closing = True
            self._wake.notify()
        if self._sinks:
            self._thread.join(self._pace.farewell + self._pace.timeout)

    def _run(self) -> None:
        while not self._is_last():
            sent_at = time.monotonic()
            complete = self._send()
            with self._wake:
                # after a failure even an urgent report waits: the server is down or busy
                self._changed = self._changed or not complete
                self._wake.wait_for(self._is_urgent if complete else self._is_last, self._pace.interval)
                rest = self._pace.heartbeat - (time.monotonic() - sent_at)
                self._wake.wait_for(lambda: self._closing or self._changed, timeout=max(0.0, rest))
        deadline = time.monotonic() + self._pace.farewell
        while self._changed and not self._send() and time.monotonic() < deadline:
            with self._wake:
                self._changed = True
                self._wake.wait(min(1.0, self._pace.interval))

    def _is_last(self) -> bool:
        with self._wake:
            return self._closing

    def _is_urgent(self) -> bool:
        with self._wake:
            return self._closing or self._urgent

    def _send(self) -> bool:
        """Sends the newest report everywhere; whether it arrived."""
        with self._wake:
            report = self._snapshot()
            self._changed = self._urgent = False
        try:
            for sink in self._sinks:
                sink.send(report, self._pace.timeout)
        except (OSError, ValueError) as error:
            complaint = f"{type(error).__name__}: {error}"
            if complaint != self._complaint:
                log.warning("progress cannot be reported now (training goes on): %s", complaint)
            self._complaint = complaint
            return False
        self._complaint = ""
        return True

    def _snapshot(self) -> ProgressReport:
        now = datetime.now(UTC)
        report = self._report
        done = report.result is not None and report.result.outcome == "succeeded"
        share = min(99, 100 * report.step // report.total_steps) if report.total_steps else 0
        return ProgressReport(
            trainer_status=TrainerStatus(
                progress_percentage=100 if done else share,
                estimated_remaining_seconds=0 if done else self._remaining,
                metrics=[Metric(name=name, value=value) for name, value in self._metrics.items()],
                last_updated_time=now,
            ),
            finetune=report.model_copy(update={"sent_at": now}),
        )
