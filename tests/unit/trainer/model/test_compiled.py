"""A compiled model trains to the losses of one that is not, goes on exactly after a kill, and leaves names in
its checkpoints that other programs know.

With FINETUNE_ALL_COMBINATIONS=1 alone: each run compiles its model anew, which takes 20 s on two busy cores.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from breadth import EVERYTHING
from finetune_api import ResolvedJob
from finetune_trainer.reporting import Reporter
from one_rank import DiesAt, Killed, train
from runs import losses, output_weights

MakeJob = Callable[..., ResolvedJob]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not EVERYTHING, reason="takes minutes: FINETUNE_ALL_COMBINATIONS=1 runs it"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler"),
    pytest.mark.filterwarnings(
        # PyTorch's compiler looks at the gradients of all that it meets
        "ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning",
        # and leaves out calls of C++ that it can't follow
        "ignore:Dynamo does not know how to trace the builtin:UserWarning",
    ),
]


def spec(method: str, packed: bool, compiled: str) -> dict[str, Any]:
    """Each step takes all 20 records, so that its loss tells what the steps before have changed."""
    return {
        "method": {"type": method, "lora": {"rank": 4, "dropout": 0.0}},
        "dataset": {"packing": packed},
        "training": {
            "compile": compiled,
            "microBatchSize": 1 if packed else 10,
            "learningRate": 3e-3,
            "schedule": {"warmupRatio": 0.0},
        },
    }


def names(job: ResolvedJob) -> list[set[str]]:
    """Of the weights in the last checkpoint and in the output."""
    (last,) = Path(job.paths.run_directory).glob("checkpoints/*4/*model.safetensors")
    (output,) = Path(job.paths.output_directory).glob("*/*model.safetensors")
    return [set(load_file(file)) for file in (last, output)]


@pytest.mark.parametrize("packed", [False, True], ids=["apart", "packed"])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_compiled_run_is_the_same_run(make_job: MakeJob, tmp_path: Path, method: str, packed: bool) -> None:
    plain = make_job(spec(method, packed, "none"), run_directory=tmp_path / "plain")
    whole = make_job(spec(method, packed, "default"), run_directory=tmp_path / "whole")
    killed = make_job(spec(method, packed, "default"))
    train(plain)
    reporter = Reporter([])
    train(whole, reporter)
    assert reporter.report.effective["compile"] == "default"
    expected = losses(plain)
    assert expected[-1][1] < 0.99 * expected[0][1]
    assert losses(whole) == [(step, pytest.approx(loss, rel=1e-4)) for step, loss in expected]

    with pytest.raises(Killed):
        train(killed, DiesAt(3))
    assert train(make_job(spec(method, packed, "default"), attempt=2)).resumed_step == 2
    assert losses(killed) == losses(whole)
    assert output_weights(killed) == output_weights(whole)

    assert names(whole) == names(plain)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_compiled_run_with_smoothed_labels_is_the_same_run(
    make_job: MakeJob, tmp_path: Path, method: str
) -> None:
    found = []
    for compiled in ("none", "default"):
        asked = spec(method, packed=False, compiled=compiled)
        asked["training"]["labelSmoothing"] = 0.1
        job = make_job(asked, run_directory=tmp_path / compiled)
        train(job)
        found.append(losses(job))
    plain, whole = found
    assert whole == [(step, pytest.approx(loss, rel=1e-4)) for step, loss in plain]
