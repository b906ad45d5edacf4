"""The catalog against transformers: every model is built on the meta device, and its parameters counted."""

import pytest

from finetune_api.catalog import MODELS

NAMES = {"gemma3": "gemma3_text"}


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_transformers_builds_a_model_with_as_many_parameters(model):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    numbers = model.architecture
    settings = {
        "vocab_size": numbers.vocabulary,
        "hidden_size": numbers.hidden,
        "num_hidden_layers": numbers.layers,
        "num_attention_heads": numbers.heads,
        "tie_word_embeddings": numbers.tied,
    }
    if numbers.family == "gpt2":
        settings |= {"n_positions": numbers.context}
    else:
        settings |= {
            "intermediate_size": numbers.feed_forward,
            "num_key_value_heads": numbers.key_value_heads,
            "head_dim": numbers.head_size,
            "pad_token_id": None,
        }
    if numbers.experts > 1:
        settings |= {"num_local_experts": numbers.experts, "num_experts": numbers.experts}
        settings |= {"moe_intermediate_size": numbers.feed_forward}
    config = AutoConfig.for_model(NAMES.get(numbers.family, numbers.family), **settings)
    with torch.device("meta"):
        built = AutoModelForCausalLM.from_config(config)
    # Rotary tables and causal masks are buffers, not parameters.
    assert sum(parameter.numel() for parameter in built.parameters()) == numbers.parameters
