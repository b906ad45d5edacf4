"""Several ranks on this machine, as real processes over gloo: the same numbers as one process, and orderly
ends. How they are resumed is in `test_resume.py`."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api import ExitCode, Reason, ResolvedJob
from finetune_api.resolved import Rendezvous
from finetune_trainer.distributed import free_port
from runs import (
    SECONDS,
    end_of,
    environment,
    launched,
    log_in,
    losses,
    message_in,
    output_weights,
    reported_in,
    run,
    wait_for_step,
    write_job,
)

MakeJob = Callable[..., ResolvedJob]
Curve = list[tuple[int, float]]

pytestmark = pytest.mark.slow

TOLERANCE = 1e-4
"""Relative difference of the loss between one process and several; float32 sums in another order."""


def spec(method: str, distributed: dict[str, Any], **training: Any) -> dict[str, Any]:
    lora = {} if method == "full" else {"lora": {"dropout": 0.0}}
    return {
        "method": {"type": method, **lora},
        "quantization": {"type": "nf4" if method == "qlora" else "none"},
        "distributed": distributed,
        "training": {"microBatchSize": 1, "gradientAccumulationSteps": 8, "maxSteps": 5} | training,
        "checkpoints": {"everySteps": 0},
    }


@pytest.fixture(scope="module")
def known() -> dict[str, Curve]:
    return {}


@pytest.fixture
def alone(make_job: MakeJob, tmp_path: Path, known: dict[str, Curve]) -> Callable[[str], Curve]:
    """The losses of one process, by method; each is trained once for all tests of this file."""

    def curve(method: str) -> Curve:
        if method not in known:
            job = make_job(spec(method, {}), run_directory=tmp_path / "alone")
            run(job, tmp_path / "a")
            known[method] = losses(job)
        return known[method]

    return curve


def close(curve: Curve) -> list[tuple[int, Any]]:
    return [(step, pytest.approx(loss, rel=TOLERANCE)) for step, loss in curve]


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
        ("qlora", {"zeroStage": 2}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_two_ranks_compute_the_same_loss_as_one(
    make_job: MakeJob,
    tmp_path: Path,
    alone: Callable[[str], Curve],
    method: str,
    distributed: dict[str, Any],
) -> None:
    job = make_job(spec(method, {"processesPerNode": 2, **distributed}, gradientAccumulationSteps=4))
    run(job, tmp_path / "b")
    assert losses(job) == close(alone(method))
    offloaded = "optimizer" in distributed.get("offload", {})
    stepping = "DeepSpeedCPUAdam of deepspeed" if offloaded else "AdamW of torch"
    assert reported_in(tmp_path / "b")["effective"]["optimizer"] == f"adamw ({stepping})", (
        "nothing is swapped silently"
    )


def test_two_nodes_of_two_ranks_under_zero_2_compute_the_same_loss_as_one_process(
    make_job: MakeJob, tmp_path: Path, alone: Callable[[str], Curve]
) -> None:
    distributed = {"nodes": 2, "processesPerNode": 2, "zeroStage": 2}
    job = make_job(spec("full", distributed, gradientAccumulationSteps=2))
    job = job.model_copy(update={"master": Rendezvous(address="localhost", port=free_port())})
    places = tmp_path / "n0", tmp_path / "n1"
    with launched(job, places[0], node=0) as first, launched(job, places[1], node=1) as second:
        ends = [end_of(process, place) for process, place in zip((first, second), places, strict=True)]
    assert [status for status, _ in ends] == [0, 0], log_in(places[0])
    assert ends[0][1] is not None
    assert ends[0][1].outcome == "succeeded"
    assert ends[1][1] is None, "only rank 0 leaves a result when all is well"
    assert losses(job) == close(alone("full"))


@pytest.mark.parametrize(("method", "zero_stage", "rate"), [("lora", 2, 3.0), ("full", 3, 0.3)])
def test_two_ranks_stop_early_together_and_leave_their_best_state(
    make_job: MakeJob, tmp_path: Path, method: str, zero_stage: int, rate: float
) -> None:
    what = spec(method, {"processesPerNode": 2, "zeroStage": zero_stage}, gradientAccumulationSteps=2)
    # a rate at which the loss soon rises again
    what["training"] |= {"maxSteps": 40, "learningRate": rate, "schedule": {"type": "constant"}}
    what["training"]["earlyStopping"] = {"patience": 2}
    what |= {"dataset": {"evalSplit": 0.2}, "evaluation": {"everySteps": 2}, "output": {"checkpoint": "best"}}
    job = make_job(what)
    result = run(job, tmp_path / "a")
    assert result.checkpoints is not None
    assert result.checkpoints.best is not None
    assert result.step == result.checkpoints.best.step + 4 < 40
    (best,) = Path(job.paths.run_directory).glob(f"checkpoints/step-{result.checkpoints.best.step:08d}")
    name = "adapter_model" if method == "lora" else "model"
    assert output_weights(job) == (best / f"{name}.safetensors").read_bytes()
    states = {path.name for path in best.iterdir()}
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= states, "every rank's random state is kept"


def test_ranks_of_another_node_notice_a_lost_node(make_job: MakeJob, tmp_path: Path) -> None:
    distributed = {"nodes": 2, "processesPerNode": 1, "zeroStage": 2}
    job = make_job(spec("full", distributed, gradientAccumulationSteps=2, maxSteps=100_000))
    job = job.model_copy(update={"master": Rendezvous(address="localhost", port=free_port())})
    places = tmp_path / "n0", tmp_path / "n1"
    with launched(job, places[0], node=0) as first, launched(job, places[1], node=1) as second:
        wait_for_step(job, 2, first, places[0])
        second.send_signal(signal.SIGKILL)
        begin = time.monotonic()
        status, result = end_of(first, places[0])
    assert status == ExitCode.PEER_LOST
    assert result is not None
    assert result.reason is Reason.PEER_LOST
    assert time.monotonic() - begin < 120


def test_a_data_error_on_all_ranks_keeps_its_reason_from_fresh_processes(
    make_job: MakeJob, tmp_path: Path, write_jsonl: Callable[..., Path]
) -> None:
    """Nothing is forked here: this is the command that a pod runs."""
    write_jsonl([{"instruction": "a", "output": "b"}, {"instruction": "no answer"}])
    file = write_job(make_job(spec("full", {"processesPerNode": 2, "zeroStage": 2})), tmp_path / "a")
    done = subprocess.run(
        [sys.executable, "-m", "finetune_trainer", "launch", "--job", str(file)],
        env=environment(tmp_path / "a") | {"PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == ExitCode.DATA_ERROR
    result = message_in(tmp_path / "a")
    assert result is not None
    assert result.reason is Reason.DATA_ERROR
    assert "train.jsonl, line 2" in result.message
