"""Nodes of an attempt as processes of this machine, seen as the Job and the pods that they stand for.

The operator's `decide` looks at Jobs and pods. Here a child Job is a set of launcher processes, one per
node; what the kubelet and the Job controller would do (report exit codes, keep the termination message,
stop the other ranks when one has failed, kill what outlives its grace period) is done by `LocalJob`.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Final

from finetune_operator.observation import JobCondition, ObservedJob, ObservedPod

TERMINATION_MESSAGE_VARIABLE: Final = "FINETUNE_TERMINATION_MESSAGE"
NODE_RANK_VARIABLE: Final = "JOB_COMPLETION_INDEX"

_TERMINATION_MESSAGE_BYTES: Final = 4096


@dataclass(frozen=True)
class Launch:
    """What each node of an attempt runs. `directory` receives logs and termination messages."""

    job_name: str
    owner_uid: str
    attempt: int
    nodes: int
    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    grace_period_seconds: float


@dataclass
class _Node:
    index: int
    process: subprocess.Popen[bytes]
    log: Path
    termination_log: Path
    started_at: datetime
    finished_at: datetime | None = None
    exit_code: int | None = None


@dataclass
class LocalJob:
    """A running, or ended, attempt. `notify` is called from another thread when a process ends."""

    launch: Launch
    notify: Callable[[], None]
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    deleting: bool = False
    _nodes: list[_Node] = field(default_factory=list)
    _kill_at: float | None = None

    def __post_init__(self) -> None:
        self.launch.directory.mkdir(parents=True, exist_ok=True)
        for index in range(self.launch.nodes):
            self._nodes.append(self._start(index))

    @property
    def name(self) -> str:
        """Name of the child Job that this stands for."""
        return f"{self.launch.job_name}-{self.launch.attempt}"

    @property
    def uid(self) -> str:
        """Identity of that Job."""
        return f"{self.launch.owner_uid}-{self.launch.attempt}"

    @property
    def ended(self) -> bool:
        """Whether no process is left."""
        return all(node.exit_code is not None for node in self._nodes)

    @property
    def logs(self) -> list[Path]:
        """What each node has printed, by index."""
        return [node.log for node in self._nodes]

    def poll(self) -> None:
        """Notice ended processes, stop the others when one has failed, and kill those that take too long."""
        for node in self._nodes:
            code = node.process.poll()
            if node.exit_code is None and code is not None:
                node.exit_code = 128 - code if code < 0 else code
                node.finished_at = datetime.now(UTC)
        if any(node.exit_code for node in self._nodes) and not self.ended:
            self.stop()
        if self._kill_at is not None and time.monotonic() >= self._kill_at and not self.ended:
            self.kill()

    def stop(self) -> None:
        """Ask every process to save and end (SIGTERM); `poll` kills it when its grace period is over."""
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self.launch.grace_period_seconds
            self._signal(signal.SIGTERM)

    def delete(self) -> None:
        """What deleting the Job in the foreground does: it is seen until the last process is gone."""
        self.deleting = True
        self.stop()

    def kill(self) -> None:
        """End every process and its children at once (SIGKILL)."""
        self._signal(signal.SIGKILL)

    @property
    def next_deadline(self) -> float | None:
        """Seconds until `poll` has something to kill; None if nothing is being stopped."""
        return None if self._kill_at is None or self.ended else max(0.0, self._kill_at - time.monotonic())

    def observed_job(self) -> ObservedJob:
        """The Job as the API server would show it."""
        codes = [node.exit_code for node in self._nodes]
        return ObservedJob(
            name=self.name,
            attempt=self.launch.attempt,
            uid=self.uid,
            owner_uid=self.launch.owner_uid,
            created_at=self.created_at,
            active=sum(code is None for code in codes),
            succeeded=sum(code == 0 for code in codes),
            failed=sum(bool(code) for code in codes),
            conditions=self._conditions(),
            started_at=self.created_at,
            completed_at=self._finished_at if self.ended and not any(codes) else None,
            deleting=self.deleting,
        )

    def observed_pods(self) -> list[ObservedPod]:
        """The pods as the API server would show them."""
        return [
            ObservedPod(
                name=f"{self.name}-{node.index}",
                attempt=self.launch.attempt,
                index=node.index,
                job_uid=self.uid,
                owner_uid=self.launch.owner_uid,
                phase="Running" if node.exit_code is None else "Failed" if node.exit_code else "Succeeded",
                node="localhost",
                exit_code=node.exit_code,
                termination_message=""
                if node.exit_code is None
                else _termination_message(node.termination_log),
                started_at=node.started_at,
                finished_at=node.finished_at,
                ready=node.exit_code is None,
                deleting=self.deleting,
            )
            for node in self._nodes
        ]

    def _conditions(self) -> tuple[JobCondition, ...]:
        if not self.ended or self.deleting:
            return ()
        failed = [node for node in self._nodes if node.exit_code]
        if not failed:
            return (JobCondition("Complete", "True", changed_at=self._finished_at),)
        first = min(failed, key=lambda node: node.finished_at or self.created_at)
        message = f"process {self.name}-{first.index} failed with exit code {first.exit_code}"
        return (JobCondition("Failed", "True", "PodFailurePolicy", message, self._finished_at),)

    @property
    def _finished_at(self) -> datetime | None:
        return max((node.finished_at for node in self._nodes if node.finished_at), default=None)

    def _start(self, index: int) -> _Node:
        log = self.launch.directory / f"node-{index}.log"
        termination_log = self.launch.directory / f"node-{index}.result.json"
        termination_log.unlink(missing_ok=True)
        environment = {
            **self.launch.environment,
            NODE_RANK_VARIABLE: str(index),
            TERMINATION_MESSAGE_VARIABLE: str(termination_log),
        }
        with log.open("wb") as output:
            # A session of its own: Ctrl-C on the terminal reaches us alone, and we end the job in good order.
            process = subprocess.Popen(
                self.launch.command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        Thread(target=self._watch, args=(process,), daemon=True).start()
        return _Node(index, process, log, termination_log, datetime.now(UTC))

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self.notify()

    def _signal(self, number: signal.Signals) -> None:
        for node in self._nodes:
            if node.process.poll() is not None:
                continue
            try:
                if number is signal.SIGKILL:
                    os.killpg(node.process.pid, number)
                else:
                    node.process.send_signal(number)
            except ProcessLookupError:
                pass  # it ended by itself in this very moment


def _termination_message(path: Path) -> str:
    try:
        return path.read_bytes()[:_TERMINATION_MESSAGE_BYTES].decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
