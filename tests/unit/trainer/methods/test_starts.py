"""Every start of adapters on every base, in whole runs: it learns, goes on exactly after a kill, and what it
exports computes what was trained, with nothing but PEFT to load it.

By default a few; FINETUNE_ALL_COMBINATIONS=1 runs all that the validator lets through.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from breadth import EVERYTHING
from finetune_api import ResolvedJob, validate_job
from finetune_api.job import FineTuneJob, ObjectMeta
from finetune_trainer.assembly import load_model
from finetune_trainer.inputs import prepare_inputs
from finetune_trainer.merge_proof import probe_ids, relative_difference
from finetune_trainer.methods import prepare_method
from finetune_trainer.methods.decomposition import ADAPTER
from finetune_trainer.quantization import keep_packing, quantization_config
from one_rank import DiesAt, Killed, train
from runs import losses

MakeJob = Callable[..., ResolvedJob]
Case = tuple[str, str, str]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        # PEFT 0.21 asks models for the attribute by its old name
        "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning",
        # LLM.int8() multiplies in 16 bit, and says so at every call
        "ignore:MatMul8bitLt. inputs will be cast:UserWarning",
    ),
]

BASES = ["none", "int8", "int4", "nf4", "fp4"]
UNCHANGED = ["default", "gaussian", "orthogonal", "eva"]
"""Starts that leave the base as it is, and change nothing of what it computes."""
MOVED = ["pissa", "olora", "loftq"]
"""Starts that move a part of the base into the adapter."""

CASES: list[Case] = [
    *(("lora", start, base) for start in UNCHANGED + MOVED for base in BASES if start != "loftq"),
    *(("dora", start, base) for start in UNCHANGED for base in BASES),
    *((method, "loftq", base) for method in ("lora", "rslora") for base in ("nf4", "fp4")),
    *(("rslora", start, "nf4") for start in ("eva", "pissa", "olora")),
]

A_FEW: list[Case] = [
    ("lora", "gaussian", "int8"),
    ("lora", "olora", "int4"),
    ("rslora", "loftq", "nf4"),
    ("dora", "eva", "fp4"),
]

EXACT = 1e-4
"""What sums in another order may change of logits, as a share of the largest."""


def spec(case: Case) -> dict[str, Any]:
    """Each step takes all 20 records, so that its loss tells what the steps before have changed."""
    method, start, base = case
    return {
        "method": {"type": method, "lora": {"rank": 4, "dropout": 0.0, "initialization": start}},
        "quantization": {"type": base, "allowDora": True},
        "training": {"microBatchSize": 10, "learningRate": 3e-3, "schedule": {"warmupRatio": 0.0}},
    }


def plain(job: ResolvedJob, place: Path | str, *, quantized: bool = False) -> Any:
    """A model as transformers loads it in fp32."""
    config = quantization_config(job.spec, "fp32", str(place)) if quantized else None
    settings = {"quantization_config": config} if config is not None else {}
    model = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, **settings)
    keep_packing(model)
    return model


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    found: torch.Tensor = model.eval()(input_ids=probe_ids(model.config.vocab_size)).logits
    return found.double()


def adapter_weights(job: ResolvedJob) -> bytes:
    return Path(job.paths.output_directory, "adapter", ADAPTER).read_bytes()


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    return relative_difference(one, other)


def error(found: torch.Tensor, right: torch.Tensor) -> float:
    """The root of the mean square, as a share of the right logits'."""
    return float(((found - right).square().mean() / right.square().mean()).sqrt())


@pytest.mark.parametrize("case", CASES if EVERYTHING else A_FEW, ids="-".join)
def test_a_model_starts_as_its_base(make_job: MakeJob, case: Case) -> None:
    job = make_job(spec(case))
    inputs = prepare_inputs(job)
    start = prepare_method(job, inputs.base, "fp32", data=inputs.data)
    begun = logits(load_model(inputs, start, "fp32").model)
    place = str(job.spec.model.path)
    whole, rounded = logits(plain(job, place)), logits(plain(job, place, quantized=True))
    _, kind, base = case
    if base == "none" or kind in UNCHANGED:
        assert difference(begun, rounded) < EXACT
    if kind in MOVED:
        assert error(begun, whole) < 1.5 * error(rounded, whole) + EXACT
    if kind == "loftq":
        assert error(begun, whole) < 0.8 * error(rounded, whole)
    print(f"{case} to whole {error(begun, whole):.2e}, bare {error(rounded, whole):.2e}")


@pytest.mark.parametrize("case", CASES if EVERYTHING else A_FEW, ids="-".join)
def test_a_run_learns_goes_on_exactly_and_exports_what_it_trained(
    make_job: MakeJob, tmp_path: Path, case: Case
) -> None:
    merged = {"output": {"mergeAdapter": True, "precision": "fp32"}}
    whole, killed = make_job(spec(case) | merged, run_directory=tmp_path / "whole"), make_job(spec(case))
    train(whole)
    assert losses(whole)[-1][1] < 0.99 * losses(whole)[0][1]
    with pytest.raises(Killed):
        train(killed, DiesAt(3))
    assert train(make_job(spec(case), attempt=2)).resumed_step == 2
    assert losses(killed) == losses(whole)
    assert adapter_weights(killed) == adapter_weights(whole)

    run, output, place = Path(whole.paths.run_directory), Path(whole.paths.output_directory), whole.spec.model.path
    (residual,) = [*run.glob("residual-*/base")] or [Path(str(place))]
    (last,) = run.glob("checkpoints/*4")
    trained = logits(PeftModel.from_pretrained(plain(whole, residual, quantized=True), last))
    exported = logits(PeftModel.from_pretrained(plain(whole, str(place)), output / "adapter"))
    assert difference(logits(plain(whole, output / "merged")), exported) < EXACT
    if case[1] in MOVED:
        beside = logits(PeftModel.from_pretrained(plain(whole, residual), last))
        assert difference(exported, beside) < EXACT
    else:
        again = PeftModel.from_pretrained(plain(whole, str(place), quantized=True), output / "adapter")
        assert difference(logits(again), trained) < EXACT
    base = logits(plain(whole, str(place)))
    print(f"{case} loss {losses(whole)[0][1]:.3f} -> {losses(whole)[-1][1]:.3f}; exported on whole to trained {difference(exported, trained):.2e}; base to trained {difference(base, trained):.2e}")
