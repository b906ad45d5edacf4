"""Several ranks on this machine, as real processes over gloo: same numbers as one, exact resume, orderly
ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from finetune_api import ExitCode, Reason, ResolvedJob, TrainingResult
from finetune_api.resolved import Rendezvous
from finetune_trainer.distributed import free_port

MakeJob = Callable[..., ResolvedJob]

pytestmark = pytest.mark.slow

SECONDS = 600.0
"""Limit for one launch. Alone on two cores it takes 15 to 30 seconds."""

TOLERANCE = 1e-4
"""Relative difference of the loss between one process and several; float32 sums in another order."""


@contextmanager
def launched(job: ResolvedJob, directory: Path, *, node: int = 0) -> Iterator["subprocess.Popen[bytes]"]:
    """`python -m finetune_trainer launch` of one node, ended with the block."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "job.json"
    file.write_text(json.dumps(job.to_json_object()))
    environment = os.environ | {
        "JOB_COMPLETION_INDEX": str(node),
        "FINETUNE_TERMINATION_MESSAGE": str(directory / "message"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "finetune_trainer", "launch", "--job", str(file)]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def end_of(process: "subprocess.Popen[bytes]", directory: Path) -> tuple[int, TrainingResult | None]:
    status = process.wait(SECONDS)
    message = directory / "message"
    return status, TrainingResult.from_termination_message(message.read_text() if message.exists() else None)


def run(job: ResolvedJob, directory: Path) -> TrainingResult:
    """A run that must succeed."""
    with launched(job, directory) as process:
        status, result = end_of(process, directory)
    assert status == ExitCode.SUCCEEDED, (directory / "log").read_text()[-4000:]
    assert result is not None
    assert result.output is not None
    assert result.output.verified
    return result


def losses(job: ResolvedJob) -> list[tuple[int, float]]:
    path = Path(job.paths.run_directory) / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [(line["step"], line["loss"]) for line in lines if "loss" in line]


def wait_for_step(job: ResolvedJob, step: int, process: "subprocess.Popen[bytes]", directory: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not any(done >= step for done, _ in losses(job)):
        assert process.poll() is None, (directory / "log").read_text()[-4000:]
        assert time.monotonic() < deadline, f"step {step} was not reached"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    found = subprocess.run(
        ["pgrep", "-P", str(pid), "-f", "finetune_trainer run"], capture_output=True, check=True
    )
    return [int(line) for line in found.stdout.split()]


def spec(method: str, distributed: dict[str, Any], **training: Any) -> dict[str, Any]:
    lora = {"lora": {"dropout": 0.0}} if method == "lora" else {}
    return {
        "method": {"type": method, **lora},
        "distributed": distributed,
        "training": {"microBatchSize": 1, "gradientAccumulationSteps": 8, "maxSteps": 5} | training,
    }


@pytest.mark.parametrize(
    ("method", "distributed"),
    [
        ("full", {"zeroStage": 0}),
        ("full", {"zeroStage": 1}),
        ("full", {"zeroStage": 3}),
        ("full", {"zeroStage": 2, "offload": {"optimizer": "cpu"}}),
        ("lora", {"zeroStage": 2}),
        ("lora", {"zeroStage": 3}),
        ("lora", {"zeroStage": 3, "offload": {"optimizer": "cpu", "parameters": "cpu"}}),
        ("lora", {"engine": "torch"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_two_ranks_compute_the_same_loss_as_one(
    make_job: MakeJob, tmp_path: Path, method: str, distributed: dict[str, Any]
) -> None:
    alone = make_job(spec(method, {}), run_directory=tmp_path / "alone")
    both = make_job(
        spec(method, {"processesPerNode": 2, **distributed}, gradientAccumulationSteps=4),
        run_directory=tmp_path / "both",
    )
    run(alone, tmp_path / "a")
    run(both, tmp_path / "b")
    assert losses(both) == [(step, pytest.approx(loss, rel=TOLERANCE)) for step, loss in losses(alone)]


def test_two_nodes_of_two_ranks_under_zero_2_compute_the_same_loss_as_one_process(
    make_job: MakeJob, tmp_path: Path
) -> None:
    alone = make_job(spec("full", {}), run_directory=tmp_path / "alone")
    run(alone, tmp_path / "a")
    distributed = {"nodes": 2, "processesPerNode": 2, "zeroStage": 2}
    job = make_job(spec("full", distributed, gradientAccumulationSteps=2), run_directory=tmp_path / "nodes")
    job = job.model_copy(update={"master": Rendezvous(address="localhost", port=free_port())})
    places = tmp_path / "n0", tmp_path / "n1"
    with launched(job, places[0], node=0) as first, launched(job, places[1], node=1) as second:
        ends = [end_of(process, place) for process, place in zip((first, second), places, strict=True)]
    assert [status for status, _ in ends] == [0, 0], (places[0] / "log").read_text()[-4000:]
    assert ends[0][1] is not None
    assert ends[0][1].outcome == "succeeded"
    assert ends[1][1] is None, "only rank 0 leaves a result when all is well"
    assert losses(job) == [(step, pytest.approx(loss, rel=TOLERANCE)) for step, loss in losses(alone)]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_sigterm_saves_on_all_ranks_and_the_run_goes_on_exactly(
    make_job: MakeJob, tmp_path: Path, method: str
) -> None:
    what = spec(method, {"processesPerNode": 2, "zeroStage": 2}, gradientAccumulationSteps=2, maxSteps=60)
    what["checkpoints"] = {"everySteps": 0}
    whole, stopped = make_job(what, run_directory=tmp_path / "whole"), make_job(what)
    run(whole, tmp_path / "a")
    with launched(stopped, tmp_path / "b") as process:
        wait_for_step(stopped, 3, process, tmp_path / "b")
        process.send_signal(signal.SIGTERM)
        status, result = end_of(process, tmp_path / "b")
    assert status == ExitCode.INTERRUPTED
    assert result is not None
    assert (result.outcome, result.reason) == ("interrupted", Reason.INTERRUPTED)
    assert result.checkpoints is not None
    assert result.checkpoints.latest is not None
    assert result.checkpoints.latest.step == result.step < 60
    resumed = run(make_job(what, attempt=2), tmp_path / "c")
    assert resumed.resumed_step == result.step
    assert losses(stopped) == losses(whole)


def test_a_killed_rank_ends_the_others_and_the_next_attempt_resumes_exactly(
    make_job: MakeJob, tmp_path: Path
) -> None:
    what = spec("full", {"processesPerNode": 2, "zeroStage": 2}, gradientAccumulationSteps=2, maxSteps=60)
    what["checkpoints"] = {"everySteps": 2}
    whole, killed = make_job(what, run_directory=tmp_path / "whole"), make_job(what)
    run(whole, tmp_path / "a")
    with launched(killed, tmp_path / "b") as process:
        wait_for_step(killed, 5, process, tmp_path / "b")
        os.kill(children(process.pid)[1], signal.SIGKILL)
        status, result = end_of(process, tmp_path / "b")
    assert status == ExitCode.CRASHED
    assert result is not None
    assert result.outcome == "failed"
    resumed = run(make_job(what, attempt=2), tmp_path / "c")
    assert resumed.resumed_step is not None
    assert resumed.resumed_step >= 4
    assert losses(killed) == losses(whole)


def test_ranks_of_another_node_notice_a_lost_node(make_job: MakeJob, tmp_path: Path) -> None:
    distributed = {"nodes": 2, "processesPerNode": 1, "zeroStage": 2}
    job = make_job(spec("full", distributed, gradientAccumulationSteps=2, maxSteps=100_000))
    job = job.model_copy(update={"master": Rendezvous(address="localhost", port=free_port())})
    places = tmp_path / "n0", tmp_path / "n1"
    with launched(job, places[0], node=0) as first, launched(job, places[1], node=1) as second:
        wait_for_step(job, 2, first, places[0])
        os.killpg(second.pid, signal.SIGKILL)
        begin = time.monotonic()
        status, result = end_of(first, places[0])
    assert status == ExitCode.PEER_LOST
    assert result is not None
    assert result.reason is Reason.PEER_LOST
    assert time.monotonic() - begin < 120


def test_a_data_error_on_all_ranks_keeps_its_reason(
    make_job: MakeJob, tmp_path: Path, write_jsonl: Callable[..., Path]
) -> None:
    write_jsonl([{"instruction": "a", "output": "b"}, {"instruction": "no answer"}])
    job = make_job(spec("full", {"processesPerNode": 2, "zeroStage": 2}))
    with launched(job, tmp_path / "a") as process:
        status, result = end_of(process, tmp_path / "a")
    assert status == ExitCode.DATA_ERROR
    assert result is not None
    assert result.reason is Reason.DATA_ERROR
    assert "train.jsonl, line 2" in result.message
