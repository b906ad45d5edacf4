"""Every method on every quantization: what validation allows trains, and its adapter computes what was
trained when it is loaded again, and can be merged; what it refuses, it refuses with a reason."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from finetune_api import ResolvedJob, validate_job
from finetune_api.job import FineTuneJob, ObjectMeta
from one_rank import train

MakeJob = Callable[..., ResolvedJob]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        # LLM.int8() multiplies in 16 bit, and says so at every call
        "ignore:MatMul8bitLt. inputs will be cast:UserWarning",
    ),
]

METHODS = ["full", "freeze", "lora", "qlora", "dora", "pissa", "rslora", "spectrum"]
QUANTIZATIONS = ["none", "int8", "int4", "nf4", "fp4"]

WITHOUT_ADAPTERS = ("full", "freeze", "spectrum")

REFUSED = {
    **{
        (method, quantization): "quantized weights can't be trained"
        for method in WITHOUT_ADAPTERS
        for quantization in QUANTIZATIONS[1:]
    },
}


def spec(method: str, quantization: str) -> dict[str, Any]:
    settings: dict[str, Any] = {"freeze": {"freeze": {"trainableLayers": 1}}}.get(method, {})
    return {
        "method": {"type": method, "lora": {"rank": 4, "dropout": 0.0}, **settings},
        "quantization": {"type": quantization, "allowDora": True},
        "training": {"maxSteps": 2, "optimizer": "adamw"},
        "checkpoints": {"everySteps": 0},
        "output": {"mergeAdapter": method not in WITHOUT_ADAPTERS},
    }


@pytest.mark.parametrize(("method", "quantization"), list(product(METHODS, QUANTIZATIONS)))
def test_a_combination_trains_or_is_refused(make_job: MakeJob, method: str, quantization: str) -> None:
    job = make_job(spec(method, quantization))
    meta = ObjectMeta(name="tiny")
    errors = [
        finding.message
        for finding in validate_job(FineTuneJob(metadata=meta, spec=job.spec), "local")
        if finding.severity == "error"
    ]
    if (method, quantization) in REFUSED:
        assert any(REFUSED[method, quantization] in message for message in errors)
        return
    assert errors == []
    result = train(job)
    assert result.outcome == "succeeded"
    assert result.output is not None
    assert result.output.verified
    assert Path(job.paths.output_directory, result.output.kind).is_dir()
    assert (result.output.merged_path is not None) == (method not in WITHOUT_ADAPTERS)
