"""Models of a few thousand weights, of any family that transformers knows, made on the spot."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

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
