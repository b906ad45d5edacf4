"""Each method runs on two ranks under DeepSpeed, with the losses of one process.

By default a few; FINETUNE_ALL_COMBINATIONS=1 runs all. Those of full and of lora on a whole base are in
`../test_ranks.py`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import runs
from breadth import EVERYTHING
from finetune_api import ResolvedJob, validate_job
from finetune_api.job import FineTuneJob, ObjectMeta
from one_rank import train

MakeJob = Callable[..., ResolvedJob]
FamilyModel = Callable[[str], Path]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        # PEFT takes the names of parameters for those of modules
        "ignore:The following (rank|alpha)_pattern keys did not match:RuntimeWarning",
        # and finds out by itself how the weights of a Conv1D lie
        "ignore:fan_in_fan_out is set to False but the target module is `Conv1D`:UserWarning",
        # LLM.int8() multiplies in 16 bit, and says so at every call
        "ignore:MatMul8bitLt. inputs will be cast:UserWarning",
    ),
]


def adapters(method: str, quantization: str = "none", **lora: Any) -> dict[str, Any]:
    return {
        "method": {"type": method, "lora": {"rank": 4, "dropout": 0.0, **lora}},
        "quantization": {"type": quantization, "allowDora": True},
    }


PARTS: dict[str, dict[str, Any]] = {
    "freeze": {"method": {"type": "freeze", "freeze": {"trainableLayers": 1}}},
    "spectrum": {"method": {"type": "spectrum"}},
    "dora": adapters("dora"),
    "dora-nf4": adapters("dora", "nf4"),
    "dora-int8": adapters("dora", "int8"),
    "pissa-nf4": adapters("pissa", "nf4"),
    "lora-int8": adapters("lora", "int8"),
    "lora-fp4": adapters("lora", "fp4"),
    "lora-plus": adapters("lora", learningRateRatio=16.0),
    "adamw8bit": adapters("lora") | {"training": {"optimizer": "adamw8bit"}},
    "full": {"method": {"type": "full"}},
    "lora": adapters("lora"),
}

ALONE = [part for part in PARTS if part not in ("full", "lora")]
"""Of the other two the tests are in `../test_ranks.py`."""

REFUSED = {
    ("dora-nf4", 3): "ZeRO-3 knows nothing of",
    ("dora-int8", 3): "ZeRO-3 shares out weights of a floating-point type only",
    ("lora-int8", 3): "ZeRO-3 shares out weights of a floating-point type only",
}

A_FEW = [("spectrum", 2), ("pissa-nf4", 3)]

ON_OTHER_LAYERS = [
    (family, part, stage)
    for family in ("gpt2", "mixtral", "gemma3")
    for part, stage in (("full", 2), ("full", 3), ("lora", 3), ("pissa-nf4", 2))
    if (family, part) != ("mixtral", "pissa-nf4")
]
"""Conv1D, experts that are one parameter, norms of queries and keys. Validation refuses pissa on experts."""

TOLERANCE = 1e-3
"""Relative difference of the loss: sums in another order."""

LEARNED = 20 * TOLERANCE
"""What training must change of the loss, as a share: wrong gradients would show."""


def spec(part: str, zero_stage: int | None) -> dict[str, Any]:
    """Each step takes all 20 records, so that its loss tells what the steps before have changed."""
    ranks = 1 if zero_stage is None else 2
    shared = {} if zero_stage is None else {"processesPerNode": ranks, "zeroStage": zero_stage}
    settings = dict(PARTS[part])
    training = {
        "maxSteps": 3,
        "microBatchSize": 5,
        "gradientAccumulationSteps": 4 // ranks,
        "schedule": {"warmupRatio": 0.0},
    }
    return settings | {
        "training": training | settings.get("training", {}),
        "distributed": shared,
        "checkpoints": {"everySteps": 0},
    }


@pytest.mark.parametrize(
    ("part", "zero_stage"),
    [(part, stage) for part in ALONE for stage in (2, 3) if (part, stage) not in REFUSED]
    if EVERYTHING
    else A_FEW,
)
def test_two_ranks_have_the_losses_of_one_process(
    make_job: MakeJob, tmp_path: Path, part: str, zero_stage: int
) -> None:
    alone = make_job(spec(part, None), run_directory=tmp_path / "alone")
    compare(alone, make_job(spec(part, zero_stage)), tmp_path)


@pytest.mark.parametrize(("family", "part", "zero_stage"), ON_OTHER_LAYERS if EVERYTHING else [])
def test_two_ranks_have_the_losses_of_one_process_on_other_layers(
    make_job: MakeJob,
    family_model: FamilyModel,
    tiny_gpt2: Path,
    tmp_path: Path,
    family: str,
    part: str,
    zero_stage: int,
) -> None:
    # without dropout, whose random numbers depend on the number of ranks
    place = tiny_gpt2 if family == "gpt2" else family_model(family)
    model = {"model": {"path": str(place)}}
    alone = make_job(spec(part, None) | model, run_directory=tmp_path / "alone")
    compare(alone, make_job(spec(part, zero_stage) | model), tmp_path)


def compare(alone: ResolvedJob, shared: ResolvedJob, directory: Path) -> None:
    """Trains by one process and by two ranks; the losses are the same, and they fall."""
    train(alone)
    runs.run(shared, directory / "ranks")
    expected = runs.losses(alone)
    assert [step for step, _ in expected] == [1, 2, 3]
    assert expected[-1][1] < (1 - LEARNED) * expected[0][1]
    assert runs.losses(shared) == [(step, pytest.approx(loss, rel=TOLERANCE)) for step, loss in expected]


@pytest.mark.parametrize(("part", "zero_stage"), REFUSED)
def test_what_can_not_be_shared_out_is_refused(make_job: MakeJob, part: str, zero_stage: int) -> None:
    job = FineTuneJob(metadata=ObjectMeta(name="tiny"), spec=make_job(spec(part, zero_stage)).spec)
    errors = [finding.message for finding in validate_job(job, "local") if finding.severity == "error"]
    assert any(REFUSED[part, zero_stage] in message for message in errors)
