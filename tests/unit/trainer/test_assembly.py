"""The parts of a run, put together."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from transformers import AutoTokenizer

from finetune_api import ResolvedJob
from finetune_trainer import assembly
from finetune_trainer.assembly import load_model
from finetune_trainer.deepspeed_config import Precision
from finetune_trainer.inputs import Inputs, prepare_inputs
from finetune_trainer.methods import Start, prepare_method
from finetune_trainer.model.precision import DTYPES
from finetune_trainer.stages import stage_for

MakeJob = Callable[..., ResolvedJob]


@pytest.mark.parametrize("start", ["default", "pissa"])
def test_an_adapter_says_which_revision_of_its_base_it_is_for(
    make_job: MakeJob, tiny_model: Path, tmp_path: Path, start: str
) -> None:
    # of a directory there are no revisions: the name goes through all the same
    model = {"path": str(tiny_model), "revision": "0a1b2c"}
    job = make_job({"model": model, "method": {"type": "lora", "lora": {"initialization": start}}})
    inputs = prepare_inputs(job)
    prepared = prepare_method(job, inputs.base, "fp32", data=inputs.data)
    adapted: Any = load_model(inputs, prepared, "fp32").model
    adapted.save_pretrained(tmp_path / "adapter")
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["revision"] == "0a1b2c"


def test_a_whole_model_ends_where_its_template_closes_a_turn(
    make_job: MakeJob, tiny_model: Path, tmp_path: Path
) -> None:
    template = (
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '<|im_start|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    )
    job = make_job({"model": {"path": str(tiny_model), "tokenizer": {"chatTemplate": template}}})
    inputs = prepare_inputs(job)
    whole: Any = load_model(inputs, prepare_method(job, inputs.base, "fp32", data=inputs.data), "fp32").model
    whole.save_pretrained(tmp_path / "model")
    told = json.loads((tmp_path / "model" / "generation_config.json").read_text())["eos_token_id"]
    ends = inputs.tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_start|>"])
    assert set(told) == set(ends)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize(
    ("stage", "lora"),
    [
        ("rm", {}),
        ("sft", {"modulesToSave": ["lm_head"]}),
        ("sft", {"modulesToSave": ["embed_tokens"]}),
    ],
)
def test_all_that_is_trained_beside_a_16_bit_base_has_32_bit(
    make_job: MakeJob, tiny_model: Path, precision: Precision, stage: str, lora: dict[str, Any]
) -> None:
    training = {"training": {"stage": stage, "microBatchSize": 2}}
    data = {"dataset": {"format": "preference", "train": {"path": "/pairs"}}} if stage == "rm" else {}
    job = make_job({"method": {"type": "lora", "lora": lora}, **training, **data})
    inputs = Inputs(
        job=job,
        read=job,
        stage=stage_for(job.spec.training),
        tokenizer=AutoTokenizer.from_pretrained(tiny_model),
        base=str(tiny_model),
        data=cast(Any, None),
        evaluation=None,
    )
    start = Start(base=str(tiny_model), original=str(tiny_model), head=inputs.stage.head)
    model = load_model(inputs, start, precision).model
    trained = {name: weight.dtype for name, weight in model.named_parameters() if weight.requires_grad}
    assert set(trained.values()) == {torch.float32}, trained
    frozen = {weight.dtype for weight in model.parameters() if not weight.requires_grad}
    assert frozen == {DTYPES[precision]}


@pytest.mark.parametrize(
    ("spec", "straight"),
    [
        ({"method": {"type": "full"}}, True),
        ({"method": {"type": "full"}, "distributed": {"engine": "deepspeed"}}, False),
        ({"method": {"type": "lora"}, "distributed": {"engine": "deepspeed"}}, True),
        (
            {
                "method": {"type": "qlora"},
                "quantization": {"type": "nf4"},
                "distributed": {"engine": "deepspeed"},
            },
            True,
        ),
    ],
    ids=["whole", "whole under DeepSpeed", "adapters under DeepSpeed", "packed under DeepSpeed"],
)
def test_weights_that_deepspeed_casts_wait_on_the_host(
    make_job: MakeJob, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, spec: dict[str, Any], straight: bool
) -> None:
    told: list[object] = []

    class Seen(Exception):
        pass

    def load_base(*given: object) -> None:
        told.append(given[-1])
        raise Seen

    monkeypatch.setattr(assembly, "load_base", load_base)
    job = make_job(spec)
    inputs = cast(Any, SimpleNamespace(job=job, stage=stage_for(job.spec.training)))
    gpu = torch.device("cuda", 0)
    with pytest.raises(Seen):
        load_model(inputs, Start(base=str(tiny_model), original=str(tiny_model)), "bf16", gpu)
    assert told == [gpu if straight else None]
