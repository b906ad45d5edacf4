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
from transformers import AutoModelForCausalLM, AutoTokenizer

from breadth import EVERYTHING
from finetune_api import ResolvedJob
from finetune_api.model import ArchitectureSpec
from finetune_trainer.assembly import load_model
from finetune_trainer.inputs import prepare_inputs
from finetune_trainer.methods import prepare_method
from finetune_trainer.methods.decomposition import ADAPTER
from finetune_trainer.model.models import create_base
from finetune_trainer.model.quantization import keep_packing, quantization_config
from finetune_trainer.output.merge_proof import probe_ids
from finetune_trainer.output.trial import relative_difference
from one_rank import DiesAt, Killed, train
from runs import losses

MakeJob = Callable[..., ResolvedJob]
Case = tuple[str, str, str]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        # LLM.int8() multiplies in 16 bit, and says so at every call
        "ignore:MatMul8bitLt. inputs will be cast:UserWarning",
        # PEFT on adapters of an embedding, which are each one's own where it is tied
        "ignore:Model (has|with) `tie_word_embeddings=True`:UserWarning",
        "ignore:Setting `save_embedding_layers` to `True`:UserWarning",
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

A_FEW_RUNS = A_FEW[-1:]

AROUND: dict[str, dict[str, Any]] = {
    "a tied head": {"targetModules": ["lm_head", "q_proj"]},
    "a tied embedding": {"targetModules": ["embed_tokens", "q_proj"], "initialization": "gaussian"},
    "both, tied": {"targetModules": ["embed_tokens", "lm_head"], "initialization": "orthogonal"},
    "an embedding": {"targetModules": ["embed_tokens", "q_proj"], "initialization": "pissa"},
    "a head of its own": {"targetModules": ["lm_head", "q_proj"], "initialization": "olora"},
    "biases": {"bias": "all", "initialization": "pissa"},
}
"""Settings beside the start. The base of the tests shares its embedding with its head and has no biases: the
last two get another one."""

A_FEW_AROUND = ["a head of its own"]

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
        assert relative_difference(begun, rounded) < EXACT
    if kind in MOVED:
        assert error(begun, whole) < error(rounded, whole) + EXACT
    if kind == "loftq":
        assert error(begun, whole) < 0.8 * error(rounded, whole)


@pytest.mark.parametrize("case", CASES if EVERYTHING else A_FEW_RUNS, ids="-".join)
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

    check_export(whole)
    output, place = Path(whole.paths.output_directory), str(whole.spec.model.path)
    exported = logits(PeftModel.from_pretrained(plain(whole, place), output / "adapter"))
    assert relative_difference(logits(plain(whole, output / "merged")), exported) < EXACT


@pytest.mark.parametrize("name", AROUND if EVERYTHING else A_FEW_AROUND)
def test_embeddings_heads_and_biases_beside_a_start_are_exported_as_trained(
    make_job: MakeJob, tiny_model: Path, tmp_path: Path, name: str
) -> None:
    what = spec(("lora", "default", "none"))
    what["method"]["lora"] |= AROUND[name]
    if name in OTHER_BASES:
        OTHER_BASES[name](tiny_model, tmp_path / "model")
        what["model"] = {"path": str(tmp_path / "model")}
    job = make_job(what)
    train(job)
    assert losses(job)[-1][1] < 0.99 * losses(job)[0][1]
    check_export(job)


def with_own_head(model: Path, directory: Path) -> None:
    """A copy of a model whose head no longer shares its weights with the embedding."""
    copy = AutoModelForCausalLM.from_pretrained(model)
    copy.config.tie_word_embeddings = False
    copy.lm_head.weight = torch.nn.Parameter(0.9 * copy.lm_head.weight.detach())
    copy.save_pretrained(directory)
    AutoTokenizer.from_pretrained(model).save_pretrained(directory)


def with_biases(model: Path, directory: Path) -> None:
    """A model of a family whose attention has biases."""
    architecture = ArchitectureSpec(
        architecture="qwen2", hidden_size=32, layers=2, attention_heads=4, max_position_embeddings=128
    )
    create_base(architecture, AutoTokenizer.from_pretrained(model), directory, seed=1)


OTHER_BASES = {"a head of its own": with_own_head, "biases": with_biases}


def check_export(job: ResolvedJob) -> None:
    """Plain PEFT computes the same with the exported adapter on the job's own base as with that of the last
    checkpoint on what was trained. A start that moves a part of a base is exported for the base that is not
    quantized, so that it is compared with a residual that is not."""
    run, place = Path(job.paths.run_directory), str(job.spec.model.path)
    (last,) = run.glob("checkpoints/*4")
    residual = next(run.glob("residual-*/base"), None)
    quantized = residual is None
    trained = PeftModel.from_pretrained(plain(job, residual or place, quantized=quantized), last)
    exported = PeftModel.from_pretrained(
        plain(job, place, quantized=quantized), Path(job.paths.output_directory, "adapter")
    )
    assert relative_difference(logits(exported), logits(trained)) < EXACT
