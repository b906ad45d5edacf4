"""Run a FineTuneJob on this machine: observe, decide, carry out, until the operator's own rules say that it
is over."""

import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Final

from finetune_api import ExitCode, FineTuneJob, FineTuneJobStatus, Phase, ResolvedJob, resolve
from finetune_api.protocol import SERVER_CA_VARIABLE, SERVER_TOKEN_VARIABLE, SERVER_URL_VARIABLE
from finetune_cli.local.display import Display
from finetune_cli.local.nodes import Launch, LocalJob
from finetune_cli.local.report_receiver import ReportReceiver
from finetune_cli.local.volumes import Mounts
from finetune_operator.deciding.decide import decide
from finetune_operator.keys import JobKey
from finetune_operator.observation import Observed
from finetune_operator.plan import Plan
from finetune_operator.rendering import RenderConfig

LOCAL_UID: Final = "local"
_LONGEST_WAIT_SECONDS: Final = 60.0
_OVER: Final = {Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.SUSPENDED, Phase.STALLED}
_CONFIG: Final = RenderConfig(trainer_image="local", status_url="http://127.0.0.1", ca_pem="")


@dataclass(frozen=True)
class Outcome:
    """The end of a run: the status as the cluster would show it, and what the last attempt printed."""

    status: FineTuneJobStatus
    logs: Sequence[Path]

    @property
    def exit_code(self) -> int:
        """0 succeeded, 20 interrupted, else the trainer's exit code (`ExitCode` lists them)."""
        match self.status.phase:
            case Phase.SUCCEEDED:
                return ExitCode.SUCCEEDED
            case Phase.SUSPENDED:
                return ExitCode.INTERRUPTED
            case Phase.STALLED:
                return ExitCode.INVALID_CONFIG
        last = self.status.attempts[-1].exit_code if self.status.attempts else None
        return last or ExitCode.CRASHED


@dataclass
class Runner:
    """Runs one job. `scratch` is a directory that this run has to itself."""

    job: FineTuneJob
    mounts: Mounts
    display: Display
    scratch: Path
    status: FineTuneJobStatus = field(default_factory=FineTuneJobStatus)
    _events: SimpleQueue[None] = field(default_factory=SimpleQueue)
    _jobs: dict[str, LocalJob] = field(default_factory=dict)
    _logs: list[Path] = field(default_factory=list)
    _interrupts: int = 0

    def run(self) -> Outcome:
        """Run to the end. A first SIGINT or SIGTERM suspends the job, so that it saves; another kills it."""
        now = datetime.now(UTC)
        self.job = self.job.model_copy(
            update={
                "metadata": self.job.metadata.model_copy(
                    update={"uid": LOCAL_UID, "generation": 1, "creation_timestamp": now}
                )
            }
        )
        key = JobKey(self.job.metadata.namespace, self.job.metadata.name)
        with ReportReceiver(key, self._wake) as receiver, self._signals():
            try:
                while True:
                    plan = self._step(receiver)
                    if self.status.phase in _OVER and not self._jobs_running():
                        return Outcome(self.status, self._logs)
                    self._wait(plan)
            finally:
                for job in self._jobs.values():
                    job.kill()

    def _step(self, receiver: ReportReceiver) -> Plan:
        for job in self._jobs.values():
            job.poll()
        gone = [name for name, job in self._jobs.items() if job.deleting and job.ended]
        # A deleted Job is seen once more with all of its processes ended, then never again.
        plan = decide(self.job, self.status, self._observe(receiver), datetime.now(UTC), _CONFIG)
        for name in gone:
            del self._jobs[name]
            self._wake()
        self._carry_out(plan, receiver)
        if plan.status != self.status:
            self.status = plan.status
            self.display.tell(plan.events)
            self.display.show(plan.status)
        return plan

    def _observe(self, receiver: ReportReceiver) -> Observed:
        jobs = sorted(self._jobs.values(), key=lambda job: job.launch.attempt)
        return Observed(
            jobs=tuple(job.observed_job() for job in jobs),
            pods=tuple(pod for job in jobs for pod in job.observed_pods()),
            reports=receiver.reports(),
        )

    def _carry_out(self, plan: Plan, receiver: ReportReceiver) -> None:
        for ref in plan.delete:
            if ref.kind == "Job" and ref.name in self._jobs:
                self._jobs[ref.name].delete()
        for manifest in plan.apply:
            # ConfigMap, Service and claim have their counterparts in `Launch` and `Mounts`.
            name = manifest["metadata"]["name"]
            if manifest["kind"] == "Job" and name not in self._jobs:
                attempt = int(name.rpartition("-")[2])
                self._jobs[name] = LocalJob(self._launch(attempt, receiver), self._wake)
                self._logs = self._jobs[name].logs
                self._wake()

    def _launch(self, attempt: int, receiver: ReportReceiver) -> Launch:
        directory = self.scratch / f"attempt-{attempt}"
        directory.mkdir(parents=True)
        resolved = self._resolved(attempt)
        job_file = directory / "job.json"
        job_file.write_text(resolved.model_dump_json(by_alias=True, exclude_none=True), encoding="utf-8")
        token_file = directory / "token"
        token_file.touch(mode=0o600)
        token_file.write_text(receiver.token, encoding="utf-8")
        return Launch(
            job_name=self.job.metadata.name,
            owner_uid=LOCAL_UID,
            attempt=attempt,
            nodes=resolved.nodes,
            command=self._command(job_file),
            environment=self._environment(receiver.url(attempt), token_file),
            directory=directory,
            grace_period_seconds=resolved.grace_period_seconds,
        )

    def _resolved(self, attempt: int) -> ResolvedJob:
        decided = _CONFIG.hardware.decided(self.job)
        resolved = self.mounts.localize(resolve(decided, attempt, master_address="127.0.0.1"))
        # Several jobs may run side by side on one machine: the pods' fixed port would be taken.
        master = resolved.master.model_copy(update={"port": _free_port()})
        return resolved.model_copy(update={"master": master})

    def _command(self, job_file: Path) -> list[str]:
        own = self.job.spec.resources.command
        if own is None:
            return [sys.executable, "-m", "finetune_trainer", "launch", "--job", str(job_file)]
        words = [self.mounts.local_word(word) for word in own]
        return [sys.executable, *words[1:]] if words[0] in {"python", "python3"} else words

    def _environment(self, url: str, token_file: Path) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if name != SERVER_CA_VARIABLE}
        for variable in self.job.spec.resources.env:
            if variable.value is not None:
                environment[variable.name] = self.mounts.local_word(variable.value)
        return environment | {
            "PYTHONUNBUFFERED": "1",
            SERVER_URL_VARIABLE: url,
            SERVER_TOKEN_VARIABLE: str(token_file),
        }

    def _jobs_running(self) -> bool:
        return any(not job.ended for job in self._jobs.values())

    def _wait(self, plan: Plan) -> None:
        """Until something happens: a report, the end of a process, a signal, or what the plan waits for."""
        limits = [plan.requeue_after, *(job.next_deadline for job in self._jobs.values())]
        timeout = min([_LONGEST_WAIT_SECONDS, *(limit for limit in limits if limit is not None)])
        try:
            self._events.get(timeout=timeout)
            while True:
                self._events.get_nowait()
        except Empty:
            return

    def _wake(self) -> None:
        self._events.put(None)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self._interrupts += 1
        if self._interrupts == 1:
            self.job = self.job.model_copy(
                update={"spec": self.job.spec.model_copy(update={"suspend": True})}
            )
        else:
            for job in self._jobs.values():
                job.kill()
        self._wake()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._interrupt) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
