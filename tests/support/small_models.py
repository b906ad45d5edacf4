"""Models of a few thousand weights, of any family that transformers knows, made on the spot."""

from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

SMALL = {
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 4,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "initializer_range": 0.5,
}


def model(family: str = "llama", attention: str = "sdpa", **settings: Any) -> PreTrainedModel:
    """The same weights for the same arguments, without dropout."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **(SMALL | settings))
    made: PreTrainedModel = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    return made


NAMES: Final = {"gemma3": "gemma3_text"}
"""Families of the catalog whose text model has another name in transformers."""

EXPERTS: Final = {"num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2}

OF_FAMILY: Final[dict[str, dict[str, Any]]] = {
    # it knows no groups of keys, and has a name of its own for the width of the middle
    "gpt2": {"num_key_value_heads": 4, "n_inner": 64},
    "mixtral": EXPERTS,
    "qwen3_moe": EXPERTS | {"moe_intermediate_size": 16},
    # one layer that sees all, one that sees a window
    "gemma2": {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 32},
    "gemma3": {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 32},
    # one layer of two without rotary positions
    "smollm3": {"no_rope_layers": [1, 0]},
}
"""What makes a small model of a family one of that family."""


def saved(family: str, tokenizer: Path, directory: Path) -> Path:
    """A model of 32 channels with the tokenizer of another directory, written to a directory of its own."""
    words = AutoTokenizer.from_pretrained(tokenizer)
    ids = {f"{name}_token_id": getattr(words, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    sizes = {"vocab_size": len(words), "hidden_size": 32, "intermediate_size": 64, "head_dim": 8}
    usual = {"max_position_embeddings": 128, "initializer_range": 0.02}
    # which every family has
    made = model(NAMES.get(family, family), "eager", **sizes, **usual, **ids, **OF_FAMILY.get(family, {}))
    made.save_pretrained(directory)
    words.save_pretrained(directory)
    return directory


def trained_names(model: torch.nn.Module) -> set[str]:
    """Names of the weights that are trained."""
    return {name for name, weight in model.named_parameters() if weight.requires_grad}
