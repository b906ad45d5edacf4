"""Models: made from scratch for every family, loaded whole or not at all, trained in fp32."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import load_file, save_file

from finetune_api import ResolvedJob
from finetune_api.catalog.lookup import from_spec
from finetune_api.model import ArchitectureSpec, ModelSpec, TokenizerTrainSpec
from finetune_trainer.errors import InvalidConfigError, ModelLoadError
from finetune_trainer.model.models import (
    check_fit,
    create_base,
    load_base,
    load_dtype,
)
from finetune_trainer.model.tokenizers import Tokenizer, train_tokenizer
from finetune_trainer.training.trainer import FineTuneTrainer  # noqa: F401 - imports PEFT where its warnings are expected

MakeJob = Callable[..., ResolvedJob]

SMALL = {"hidden_size": 32, "layers": 1, "attention_heads": 4, "max_position_embeddings": 64}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(["some text"], TokenizerTrainSpec(vocab_size=270))


@pytest.fixture
def model(tiny_model: Path) -> torch.nn.Module:
    return load_base(ModelSpec(path=str(tiny_model)), str(tiny_model), torch.float32)


ROTARY = ["llama", "mistral", "mixtral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "phi3"]


@pytest.mark.parametrize("family", ROTARY)
def test_every_family_can_be_made_from_scratch(tokenizer: Tokenizer, tmp_path: Path, family: str) -> None:
    spec = ArchitectureSpec.from_json_object(
        {"architecture": family, "hiddenSize": 32, "layers": 1, "attentionHeads": 4, "keyValueHeads": 2}
    )
    create_base(spec, tokenizer, tmp_path, seed=1)
    loaded = load_base(ModelSpec(path=str(tmp_path)), str(tmp_path), torch.float32)
    config = loaded.config
    assert (config.hidden_size, config.num_hidden_layers, config.num_key_value_heads) == (32, 1, 2)
    assert config.eos_token_id == tokenizer.eos_token_id
    assert getattr(config, "head_dim", None) in (8, None), "hiddenSize / attentionHeads"
    assert parameters_of(loaded) == from_spec(spec, len(tokenizer)).parameters
    before, *_, after = losses(loaded, steps=5)
    assert after < before - 0.1


def parameters_of(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def losses(model: torch.nn.Module, *, steps: int) -> list[float]:
    """The loss on one sequence before each step of Adam."""
    batch = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12]])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    found = []
    for _ in range(steps):
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        found.append(loss.item())
    return found


def test_every_family_of_the_api_is_tried() -> None:
    annotation = ArchitectureSpec.model_fields["architecture"].annotation
    assert {*ROTARY, "gpt2"} == set(get_args(annotation))


def test_experts_are_as_many_as_asked_for(tokenizer: Tokenizer, tmp_path: Path) -> None:
    spec = ArchitectureSpec(**SMALL, architecture="mixtral", experts=4, experts_per_token=1)
    create_base(spec, tokenizer, tmp_path, seed=1)
    config = load_base(ModelSpec(path=str(tmp_path)), str(tmp_path), torch.float32).config
    assert (config.num_local_experts, config.num_experts_per_tok) == (4, 1)


def test_gpt2_can_be_made_from_scratch(tokenizer: Tokenizer, tmp_path: Path) -> None:
    spec = ArchitectureSpec(architecture="gpt2", **SMALL, intermediate_size=48, dropout=0.1)
    create_base(spec, tokenizer, tmp_path, seed=1)
    config = load_base(ModelSpec(path=str(tmp_path)), str(tmp_path), torch.float32).config
    assert (config.n_embd, config.n_layer, config.n_head, config.n_positions, config.n_inner) == (
        32,
        1,
        4,
        64,
        48,
    )
    assert (config.attn_pdrop, config.embd_pdrop, config.resid_pdrop) == (0.1, 0.1, 0.1)


def test_the_start_depends_on_nothing_but_the_seed(tokenizer: Tokenizer, tmp_path: Path) -> None:
    spec = ArchitectureSpec(**SMALL)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        create_base(spec, tokenizer, tmp_path / name, seed)
    a, b, c = (load_file(tmp_path / name / "model.safetensors") for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


def test_a_rank_that_is_not_the_first_writes_the_base_too(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is first at the lock makes it; transformers by itself would write on rank 0 alone."""
    monkeypatch.setattr("transformers.distributed.mixin._is_torch_distributed_initialized", lambda: True)
    monkeypatch.setattr("transformers.distributed.mixin._get_torch_distributed_rank", lambda: 1)
    create_base(ArchitectureSpec(**SMALL), tokenizer, tmp_path, seed=1)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        file.name for file in tmp_path.iterdir()
    }


def test_a_vocabulary_smaller_than_the_tokenizers_is_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match=r"model.config.vocabSize: 100 is less than"):
        create_base(ArchitectureSpec(**SMALL, vocab_size=100), tokenizer, tmp_path, seed=1)


def test_sizes_that_do_not_go_together_are_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    spec = ArchitectureSpec(hidden_size=30, layers=1, attention_heads=4)
    with pytest.raises(InvalidConfigError, match=r"model.config: this llama cannot be built"):
        create_base(spec, tokenizer, tmp_path, seed=1)


def test_a_model_that_lacks_weights_is_not_filled_up_at_random(tiny_model: Path, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((tiny_model / name).read_bytes())
    weights = load_file(tiny_model / "model.safetensors")
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelLoadError, match=r"lacks 1 weights .*layers.1.mlp.up_proj.weight"):
        load_base(ModelSpec(path=str(tmp_path)), str(tmp_path), torch.float32)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_broken_file_is_a_model_load_error(tiny_model: Path, tmp_path: Path, name: str) -> None:
    for file in tiny_model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / name).write_bytes(b"\x08\x00 not what it should be")
    with pytest.raises(ModelLoadError, match="does not load"):
        load_base(ModelSpec(path=str(tmp_path)), str(tmp_path), torch.float32)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"method": {"type": "full"}}, torch.float32),
        ({"method": {"type": "lora"}}, torch.bfloat16),
        ({"method": {"type": "qlora"}, "quantization": {"type": "nf4"}}, torch.float32),
        ({"method": {"type": "full"}, "model": {"path": "/m", "loadPrecision": "bf16"}}, torch.bfloat16),
    ],
)
def test_trained_weights_are_loaded_in_fp32_and_frozen_ones_in_the_runs_precision(
    make_job: MakeJob, spec: dict[str, Any], expected: torch.dtype
) -> None:
    assert load_dtype(make_job(spec).spec, "bf16") is expected


def test_sequences_longer_than_the_models_positions_are_refused(
    model: torch.nn.Module, tokenizer: Tokenizer
) -> None:
    check_fit(model, tokenizer, 128)
    with pytest.raises(InvalidConfigError, match="129 is more than the 128 positions"):
        check_fit(model, tokenizer, 129)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(model: torch.nn.Module) -> None:
    larger = train_tokenizer(
        ["words and more words " * 9, "letters " * 9], TokenizerTrainSpec(vocab_size=300)
    )
    larger.add_tokens([f"<extra{number}>" for number in range(100)])
    with pytest.raises(ModelLoadError, match=r"tokens, the model knows"):
        check_fit(model, larger, 64)
