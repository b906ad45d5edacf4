"""Whatever a run remembers beside its weights goes on from a checkpoint bit for bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api import ResolvedJob
from one_rank import DiesAt, Killed, train
from runs import losses, output_weights

MakeJob = Callable[..., ResolvedJob]

pytestmark = pytest.mark.slow

EVALUATED: dict[str, Any] = {"dataset": {"evalSplit": 0.2}, "evaluation": {"everySteps": 1}}

REMEMBERS: dict[str, dict[str, Any]] = {
    # projections of the gradients
    "galore": {"training": {"optimizer": "galoreAdamw", "learningRate": 1e-2}},
    # the evaluations so far: at this rate the loss rises, and the rate falls twice
    "plateau": EVALUATED
    | {
        "training": {
            "optimizer": "stableAdamw",
            "learningRate": 0.3,
            "schedule": {"type": "reduceOnPlateau", "patience": 0, "factor": 0.5},
        }
    },
    # the weights behind the average; the directions of the data that the adapters started as; packed integers
    "average": EVALUATED
    | {
        "quantization": {"type": "int4"},
        "method": {"type": "lora", "lora": {"rank": 4, "dropout": 0.1, "initialization": "eva"}},
        "training": {
            "optimizer": "scheduleFreeAdamw",
            "schedule": {"type": "constant"},
            "precision": "bf16",
        },
    },
}


@pytest.mark.parametrize("name", REMEMBERS)
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    make_job: MakeJob, tmp_path: Path, name: str
) -> None:
    spec = REMEMBERS[name]
    what = spec | {"training": spec["training"] | {"maxSteps": 7}}
    whole, killed = make_job(what, run_directory=tmp_path / "whole"), make_job(what)
    train(whole)
    with pytest.raises(Killed):
        train(killed, DiesAt(6))
    assert train(make_job(what, attempt=2)).resumed_step == 4
    assert losses(killed) == losses(whole)
    assert output_weights(killed) == output_weights(whole)
