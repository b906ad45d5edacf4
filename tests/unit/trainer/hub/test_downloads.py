"""A base model and a data set that are named by their hub ids: real downloads, by the command that a pod
runs, from a hub on this machine."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune_api import ExitCode, ResolvedJob
from finetune_api.result import TrainingResult
from runs import SECONDS, environment, message_in, reported_in, write_job
from serving_hub import COMMIT, ServingHub, serving_hub

MakeJob = Callable[..., ResolvedJob]

pytestmark = pytest.mark.slow

RECORDS = [{"instruction": f"add {a} and 1", "output": str(a + 1)} for a in range(12)]
SPEC: dict[str, Any] = {
    "model": {"path": None, "id": "me/tiny"},
    "method": {"type": "lora"},
    "dataset": {"train": {"path": None, "hub": {"id": "me/sums"}}},
    "training": {"maxSteps": 2},
}
BENCHMARKS: dict[str, Any] = {
    "benchmarks": [
        {"name": "physics", "type": "lmEvaluationHarness", "tasks": ["piqa"], "maxSamples": 3},
        {"name": "programs", "type": "humanEval", "allowCodeExecution": True, "maxNewTokens": 1},
    ]
}
"""A task that comes with lm-evaluation-harness, and HumanEval: the questions of both come from the hub."""
QUESTIONS = [{"goal": f"add {n} and 1", "sol1": str(n + 1), "sol2": str(n), "label": 0} for n in range(4)]
PROBLEMS = [
    {
        "task_id": f"HumanEval/{number}",
        # the word that the model goes on with is a remark that nobody reads
        "prompt": f"def one():\n    return {number}  # ",
        "canonical_solution": "",
        "test": "def check(candidate):\n    assert candidate() == 1\n",
        "entry_point": "one",
    }
    for number in range(4)
]
"""Of which one is solved."""


@pytest.fixture
def hub(tiny_model: Path) -> Iterator[ServingHub]:
    model = {file.name: file.read_bytes() for file in tiny_model.iterdir() if file.is_file()}
    held = {"me/tiny": model, "datasets/me/sums": {"train.jsonl": lines(RECORDS)}}
    held["datasets/baber/piqa"] = {
        "train.jsonl": lines(QUESTIONS[:1]),
        "validation.jsonl": lines(QUESTIONS),
    }
    held["datasets/openai/openai_humaneval"] = {"test.jsonl": lines(PROBLEMS)}
    with serving_hub(held) as server:
        yield server


def lines(records: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def launch(job: ResolvedJob, hub: ServingHub, directory: Path) -> tuple[int, TrainingResult | None, str]:
    """The exit status, the result and the log of a pod that has nothing in its cache."""
    file = write_job(job, directory)
    of_the_hub = {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": hub.token,
        "HF_HOME": str(directory / "cache"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-m", "finetune_trainer", "launch", "--job", str(file)],
        env=environment(directory) | of_the_hub,
        timeout=SECONDS,
        check=False,
        capture_output=True,
        text=True,
    )
    return done.returncode, message_in(directory), done.stdout + done.stderr


def test_a_model_its_data_and_a_benchmark_s_questions_come_from_the_hub(
    make_job: MakeJob, hub: ServingHub, tmp_path: Path
) -> None:
    job = make_job(SPEC | {"evaluation": BENCHMARKS, "output": {"modelCard": True}})
    status, result, log = launch(job, hub, tmp_path / "a")
    assert status == ExitCode.SUCCEEDED, log[-4000:]
    assert result is not None
    assert result.output is not None
    assert (result.step, result.output.kind, result.output.verified) == (2, "adapter", True)
    assert hub.token not in log
    weights = [request for request in hub.requests if request.startswith("GET") and "safetensors" in request]
    assert weights == [f"GET /me/tiny/resolve/{COMMIT}/model.safetensors"]

    card = Path(job.paths.output_directory, "adapter", "README.md").read_text()
    assert f"| training data | me/sums on the hub, split train, revision {COMMIT} |" in card

    physics, programs = reported_in(tmp_path / "a")["evaluation"]["benchmarks"]
    assert physics["samples"] == 3, physics
    assert set(physics["scores"]) == set(physics["base"]) == {"piqa.acc", "piqa.acc_norm"}
    assert any(request.startswith("GET /datasets/baber/piqa/resolve/") for request in hub.requests)
    assert programs["samples"] == 4, programs
    assert programs["scores"] == programs["base"] == {"passAt1": "0.25"}


def without_the_data(hub: ServingHub) -> None:
    del hub.repositories["datasets/me/sums"]


def out_of_order(hub: ServingHub) -> None:
    hub.is_down = True


@pytest.mark.parametrize(
    ("happens", "code", "message"),
    [
        (
            without_the_data,
            ExitCode.DATA_ERROR,
            "dataset: hub.id me/sums (train) is not on the hub, or is private",
        ),
        (out_of_order, ExitCode.CRASHED, "model.id: me/tiny cannot be fetched from the hub now"),
    ],
)
def test_what_the_hub_does_not_give_is_named_and_only_an_outage_is_tried_again(
    make_job: MakeJob,
    hub: ServingHub,
    tmp_path: Path,
    happens: Callable[[ServingHub], None],
    code: ExitCode,
    message: str,
) -> None:
    happens(hub)
    status, result, log = launch(make_job(SPEC), hub, tmp_path / "a")
    assert result is not None, log[-4000:]
    assert result.message.startswith(message)
    assert (status, result.reason) == (code, code.reason)
    assert code.retryable == hub.is_down
    assert hub.token not in log
