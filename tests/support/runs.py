"""Runs of the trainer as real processes: started, followed, ended, and what they leave behind."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from finetune_api import ExitCode, ResolvedJob, TrainingResult
from finetune_trainer.reporting import REPORT_FILE_VARIABLE
from preloaded import Node

SECONDS = 300.0
"""Limit for one launch. Alone on two cores it takes 3 to 10 seconds."""


@contextmanager
def launched(job: ResolvedJob, directory: Path, *, node: int = 0) -> Iterator[Node]:
    """`python -m finetune_trainer launch` of one node, ended with the block."""
    file = write_job(job, directory)
    process = Node(["launch", "--job", str(file)], environment(directory, node), directory / "log")
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()


def write_job(job: ResolvedJob, directory: Path) -> Path:
    """The file that `--job` names, in a directory that is made for it."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "job.json"
    file.write_text(json.dumps(job.to_json_object()))
    return file


def environment(directory: Path, node: int = 0) -> dict[str, str]:
    """Variables of a node's pod. One thread per rank: there are as many ranks as cores, or more."""
    return os.environ | {
        "JOB_COMPLETION_INDEX": str(node),
        "FINETUNE_TERMINATION_MESSAGE": str(directory / "message"),
        REPORT_FILE_VARIABLE: str(directory / "reports"),
        "OMP_NUM_THREADS": "1",
    }


def end_of(process: Node, directory: Path) -> tuple[int, TrainingResult | None]:
    """The exit status and the termination message of a node."""
    status = process.wait(SECONDS)
    return status, message_in(directory)


def message_in(directory: Path) -> TrainingResult | None:
    message = directory / "message"
    return TrainingResult.from_termination_message(message.read_text() if message.exists() else None)


def reported_in(directory: Path) -> dict[str, Any]:
    """The last report of a node to the operator: what becomes the job's status."""
    *_, last = (directory / "reports").read_text().splitlines()
    found: dict[str, Any] = json.loads(last)["finetune"]
    return found


def run(job: ResolvedJob, directory: Path) -> TrainingResult:
    """A run that must succeed."""
    with launched(job, directory) as process:
        status, result = end_of(process, directory)
    assert status == ExitCode.SUCCEEDED, log_in(directory)
    assert result is not None
    assert result.output is not None
    assert result.output.verified
    return result


def losses(job: ResolvedJob) -> list[tuple[int, float]]:
    """Steps and their losses in `metrics.jsonl`, in the order of the file."""
    path = Path(job.paths.run_directory) / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    # a run that is being followed may be in the middle of its last line
    whole = [json.loads(line) for line in lines if line.endswith("}")]
    return [(line["step"], line["loss"]) for line in whole if "loss" in line]


def output_weights(job: ResolvedJob) -> bytes:
    """The weights file of the run's output, to be compared bit for bit."""
    (file,) = Path(job.paths.output_directory).glob("*/*model.safetensors")
    return file.read_bytes()


def wait_for_step(job: ResolvedJob, step: int, process: Node, directory: Path) -> None:
    """Returns as soon as the metrics show the step as done."""
    deadline = time.monotonic() + SECONDS
    while not any(done >= step for done, _ in losses(job)):
        assert process.poll() is None, log_in(directory)
        assert time.monotonic() < deadline, f"step {step} was not reached"
        time.sleep(0.02)


def ranks_of(node: Node) -> list[int]:
    """Process ids of a node's ranks, in the order of their start."""
    found = subprocess.run(["pgrep", "-P", str(node.pid)], capture_output=True, check=True)
    return sorted(map(int, found.stdout.split()))


def log_in(directory: Path) -> str:
    """The end of a node's log, for a failed test's message."""
    return (directory / "log").read_text()[-4000:]
