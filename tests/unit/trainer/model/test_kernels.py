"""Kernels and compilation: used where they are there, and a word where they are not."""

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    Gemma3TextForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
)
from transformers.integrations.liger import apply_liger_kernel

from finetune_api import ResolvedJob
from finetune_api.catalog import FAMILIES
from finetune_trainer.model import kernels
from finetune_trainer.model.kernels import (
    attention,
    attention_word,
    compile_mode,
    compile_word,
    family_unchanged,
    kernels_word,
    liger_is_on,
    liger_parts,
    upcast_norms,
)

MakeJob = Callable[..., ResolvedJob]


def on_gpu(job: ResolvedJob) -> ResolvedJob:
    return job.model_copy(update={"device": "cuda"})


def with_kernels(make_job: MakeJob, kernels: str) -> ResolvedJob:
    return make_job({"model": {"path": "/m", "kernels": kernels}})


@pytest.mark.parametrize(("kernels", "on"), [("none", False), ("auto", True), ("liger", True)])
def test_liger_runs_on_gpus(make_job: MakeJob, kernels: str, on: bool) -> None:
    job = with_kernels(make_job, kernels)
    model = LlamaForCausalLM(LLAMA)
    assert liger_is_on(on_gpu(job), model) is on
    assert liger_is_on(job, model) is False


def test_liger_is_left_out_where_it_would_refuse_the_model(make_job: MakeJob) -> None:
    judge = Gemma3TextForSequenceClassification(GEMMA)
    with pytest.raises(TypeError, match="Gemma3ForCausalLM"), family_unchanged(judge):
        apply_liger_kernel(judge, {"fused_linear_cross_entropy": False})
    job = on_gpu(make_job({"model": {"path": "/m", "kernels": "auto"}, "training": {"stage": "rm"}}))
    assert not liger_is_on(job, judge)
    assert kernels_word(job, judge) == "none (Liger has none for reward models of gemma3_text)"
    assert liger_is_on(on_gpu(with_kernels(make_job, "auto")), Gemma3ForCausalLM(GEMMA))


@pytest.fixture
def liger_on(make_job: MakeJob) -> Callable[..., Any]:
    """Changes a model as the trainer does when a job trains it on a GPU."""

    def change(model: Any, stage: str) -> Any:
        apply_liger_kernel(model, liger_parts(make_job({"training": {"stage": stage}})))
        return model

    return change


SHAPE = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
LLAMA = LlamaConfig(**SHAPE, vocab_size=16, pad_token_id=0)
GEMMA = Gemma3TextConfig(**SHAPE, vocab_size=16, pad_token_id=0)


def test_ligers_loss_takes_the_place_of_no_other_head_and_no_other_loss(
    liger_on: Callable[..., Any],
) -> None:
    scoring, aligned, language = (
        LlamaForSequenceClassification(LLAMA),
        LlamaForCausalLM(LLAMA),
        LlamaForCausalLM(LLAMA),
    )
    with family_unchanged(scoring):
        changed = liger_on(scoring, "rm"), liger_on(aligned, "dpo"), liger_on(language, "sft")
    assert ["forward" in vars(model) for model in changed] == [False, False, True]
    assert all("LigerRMSNorm" in repr(model) for model in changed), "kernels of its layers are used"


def test_a_model_that_is_made_after_a_training_with_liger_computes_in_the_hosts_memory(
    liger_on: Callable[..., Any],
) -> None:
    trained, ids = LlamaForCausalLM(LLAMA), torch.arange(4)[None]
    with family_unchanged(trained):
        liger_on(trained, "sft")
        assert "Liger" in repr(LlamaForCausalLM(LLAMA)), "it changes the family"
    assert LlamaForCausalLM(LLAMA)(ids).logits.isfinite().all()


def test_the_word_names_the_reason(make_job: MakeJob) -> None:
    class Config:
        model_type = "llama"

    class Model:
        config = Config

    job = with_kernels(make_job, "auto")
    assert kernels_word(job, Model) == "none (Liger's are written for GPUs)"
    assert kernels_word(on_gpu(job), Model) == "liger"
    Config.model_type = "unheard-of"
    assert kernels_word(on_gpu(job), Model) == "none (Liger has none for unheard-of)"
    assert kernels_word(with_kernels(make_job, "none"), Model) == "none"


def test_the_estimator_knows_for_which_families_liger_has_kernels() -> None:
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN

    told = {name for name, family in FAMILIES.items() if family.fused_kernels}
    assert told == FAMILIES.keys() & MODEL_TYPE_TO_APPLY_LIGER_FN.keys()


@pytest.mark.parametrize("found", ["/usr/bin/g++", None])
def test_code_for_the_cpu_is_compiled_where_there_is_a_compiler(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, found: Any
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: found)
    job = make_job({"training": {"compile": "reduceOverhead"}})
    assert compile_mode(on_gpu(job)) == "reduce-overhead"
    assert compile_mode(job) == ("reduce-overhead" if found else None)
    word = compile_word(job)
    assert word == ("reduceOverhead" if found else "none (there is no C++ compiler for the CPU's code)")
    assert (compile_mode(make_job()), compile_word(make_job())) == (None, "none")


def test_norms_are_raised_to_fp32_and_nothing_else() -> None:
    model = torch.nn.ModuleDict(
        {"ln_1": torch.nn.LayerNorm(4), "input_layernorm": torch.nn.RMSNorm(4), "proj": torch.nn.Linear(4, 4)}
    ).bfloat16()
    assert upcast_norms(model) == 2
    assert {name for name, weight in model.named_parameters() if weight.dtype == torch.float32} == {
        "ln_1.weight",
        "ln_1.bias",
        "input_layernorm.weight",
    }
    assert upcast_norms(model) == 0


@pytest.mark.parametrize(
    ("asked", "there", "loaded"),
    [
        ("auto", True, None),
        ("eager", False, "eager"),
        ("flex_attention", False, "flex_attention"),
        ("flash_attention_2", True, "flash_attention_2"),
        ("flash_attention_2", False, "sdpa"),
        ("flash_attention_3", False, "sdpa"),
    ],
)
def test_flash_attention_is_used_where_it_is_there(
    monkeypatch: pytest.MonkeyPatch, asked: str, there: bool, loaded: str | None
) -> None:
    monkeypatch.setattr(kernels, "FLASH", {name: lambda: there for name in kernels.FLASH})
    assert attention(asked) == loaded


def test_the_status_says_which_attention_runs_and_why() -> None:
    assert attention_word("auto", "sdpa") == "sdpa"
    assert attention_word("flash_attention_2", "flash_attention_2") == "flash_attention_2"
    word = attention_word("flash_attention_2", "sdpa")
    assert word == "sdpa (flash_attention_2 needs its library and a GPU, and they are not both here)"
