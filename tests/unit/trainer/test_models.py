"""Models: made from scratch for every family, loaded whole or not at all, trained in fp32."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from finetune_api.method import LoraSpec, MethodSpec
from finetune_api.model import ArchitectureSpec, ModelSpec, TokenizerTrainSpec
from finetune_trainer.errors import InvalidConfigError, ModelLoadError
from finetune_trainer.models import (
    apply_method,
    check_fit,
    create_base,
    load_base,
    load_dtype,
    lora_config,
    trained_parameters,
)
from finetune_trainer.tokenizers import Tokenizer, train_tokenizer
from finetune_trainer.trainer import FineTuneTrainer  # noqa: F401 - imports PEFT where its warnings are expected

pytestmark = pytest.mark.filterwarnings(
    # PEFT 0.21 asks models for the attribute by its old name
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)

SMALL = {"hidden_size": 32, "layers": 1, "attention_heads": 4, "max_position_embeddings": 64}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(["some text"], TokenizerTrainSpec(vocab_size=270))


@pytest.fixture
def model(tiny_model: Path) -> torch.nn.Module:
    return load_base(ModelSpec(path=str(tiny_model)), str(tiny_model), torch.float32)


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3", "gemma2", "phi3"])
def test_every_family_can_be_made_from_scratch(tokenizer: Tokenizer, tmp_path: Path, family: str) -> None:
    spec = ArchitectureSpec.from_json_object(
        {"architecture": family, "hiddenSize": 32, "layers": 1, "attentionHeads": 4, "keyValueHeads": 2}
    )
    create_base(spec, tokenizer, tmp_path, seed=1)
    loaded = load_base(ModelSpec(path=str(tmp_path)), str(tmp_path), torch.float32)
    config = loaded.config
    assert (config.hidden_size, config.num_hidden_layers, config.num_key_value_heads) == (32, 1, 2)
    assert config.eos_token_id == tokenizer.eos_token_id
    logits = loaded(input_ids=torch.tensor([[5, 6, 7]])).logits
    assert logits.shape == (1, 3, len(tokenizer))
    assert bool(torch.isfinite(logits).all())


def test_the_start_depends_on_nothing_but_the_seed(tokenizer: Tokenizer, tmp_path: Path) -> None:
    spec = ArchitectureSpec(**SMALL)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        create_base(spec, tokenizer, tmp_path / name, seed)
    a, b, c = (load_file(tmp_path / name / "model.safetensors") for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


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


def test_trained_weights_are_loaded_in_fp32_and_frozen_ones_in_the_runs_precision() -> None:
    model = ModelSpec(path="/m")
    assert load_dtype(model, MethodSpec(type="full"), "bf16") is torch.float32
    assert load_dtype(model, MethodSpec(type="lora"), "bf16") is torch.bfloat16
    chosen = ModelSpec(path="/m", load_precision="bf16")
    assert load_dtype(chosen, MethodSpec(type="full"), "fp32") is torch.bfloat16


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


def test_full_fine_tuning_trains_every_weight(model: torch.nn.Module) -> None:
    trained, total = trained_parameters(apply_method(model, MethodSpec(type="full"), seed=1))
    assert trained == total


def test_lora_trains_the_adapters_alone(model: torch.nn.Module) -> None:
    adapted = apply_method(model, MethodSpec(type="lora", lora=LoraSpec(rank=2)), seed=1)
    trained = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert all(".lora_A." in name or ".lora_B." in name for name in trained)
    # 2 layers of 7 linear maps, an A and a B for each
    assert len(trained) == 2 * 7 * 2


def test_modules_that_the_model_does_not_have_are_refused(model: torch.nn.Module) -> None:
    method = MethodSpec(type="lora", lora=LoraSpec(target_modules=["no_such_proj"]))
    with pytest.raises(InvalidConfigError, match=r"method.lora: .*no_such_proj"):
        apply_method(model, method, seed=1)


def test_lora_settings_reach_peft() -> None:
    spec = LoraSpec(
        rank=4, alpha=8.0, dropout=0.1, target_modules=["q_proj"], bias="loraOnly", rank_stabilized=True
    )
    config = lora_config(spec)
    assert (config.r, config.lora_alpha, config.lora_dropout, config.bias) == (4, 8.0, 0.1, "lora_only")
    assert config.target_modules == {"q_proj"}
    assert config.use_rslora is True
    assert lora_config(LoraSpec()).target_modules == "all-linear"
    assert lora_config(LoraSpec(target_pattern=".*q_proj")).target_modules == ".*q_proj"
