"""Activations against torch: every tensor that a model of transformers saves for its backward pass."""

import tempfile
from dataclasses import replace

import pytest

from finetune_api.catalog import Architecture
from finetune_api.catalog.lookup import from_spec
from finetune_api.estimate.activations import layer_activations
from finetune_api.estimate.parameters import count_parameters
from finetune_api.estimate.setup import Setup
from finetune_api.method import LoraSpec, MethodSpec
from finetune_api.model import ArchitectureSpec
from finetune_api.quantization import QuantizationSpec

TOKENS = 96
SIZES = {
    "hidden_size": 64,
    "attention_heads": 4,
    "key_value_heads": 2,
    "intermediate_size": 224,
    "vocab_size": 128,
    "tie_word_embeddings": False,
}

OUTPUTS = (64, 32, 32, 64, 224, 224, 64)
"""Of the linear layers of one transformer layer."""


def setup_of(family, method, load, dropout):
    return Setup(
        architecture=from_spec(ArchitectureSpec(architecture=family, layers=2, **SIZES), 128),
        method=MethodSpec(type=method, lora=LoraSpec(rank=8, dropout=dropout)),
        quantization=QuantizationSpec(type="nf4" if method == "qlora" else "none"),
        ranks=1,
        zero_stage=0,
        deepspeed=False,
        offload_optimizer=False,
        offload_parameters=False,
        sequences=1,
        length=TOKENS,
        shortest_length=TOKENS,
        accumulation=1,
        optimizer="adamw",
        precision="bf16",
        load_precision=load,
        checkpointing=False,
        eager_attention=False,
        fused_loss=False,
        fused_layers=False,
        reference_copy=False,
    )


def predicted(family, method, load, dropout):
    """Bytes per token and layer that we say are kept."""
    setup = setup_of(family, method, load, dropout)
    return layer_activations(setup, count_parameters(setup), TOKENS)


def measured(family, method, load):
    """Bytes per token that a second layer adds to what is saved, weights and their copies left out."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[load]

    def saved(layers):
        config = AutoConfig.for_model(
            family,
            vocab_size=128,
            hidden_size=64,
            intermediate_size=224,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=16,
            tie_word_embeddings=False,
            pad_token_id=None,
            attn_implementation="sdpa",
        )
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
        if method == "qlora":
            model = quantized(model)
        if method != "full":
            lora = LoraConfig(
                r=8,
                lora_dropout=0.0,
                target_modules="all-linear",
                task_type="CAUSAL_LM",
                use_dora=method == "dora",
            )
            model = get_peft_model(model, lora)
        model.train()
        kept = {}
        held = []

        def pack(tensor):
            # A weight, or its 16-bit copy, has no dimension of tokens.
            shape = tuple(tensor.shape)
            if TOKENS in shape or shape[:1] == (1,):
                kept[tensor.untyped_storage().data_ptr()] = (tensor.untyped_storage().nbytes(), shape)
            held.append(tensor)
            return tensor

        tokens = torch.randint(0, 100, (1, TOKENS))
        with (
            torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
            torch.autocast("cpu", dtype=torch.bfloat16, enabled=method != "full" or load == "fp32"),
        ):
            model(input_ids=tokens, labels=tokens, use_cache=False)
        weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        return sum(size for place, (size, _) in kept.items() if place not in weights)

    return (saved(2) - saved(1)) / TOKENS


def quantized(model):
    """The model in nf4, its norms and embeddings cast to fp32 as PEFT prepares it for training."""
    import torch
    from peft import prepare_model_for_kbit_training
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    four_bit = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
    )
    with tempfile.TemporaryDirectory() as directory:
        model.to(torch.bfloat16).save_pretrained(directory)
        loaded = AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.bfloat16, attn_implementation="sdpa", quantization_config=four_bit,
            device_map="cpu",
        )  # fmt: skip
    return prepare_model_for_kbit_training(loaded, use_gradient_checkpointing=False)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # PEFT asks transformers under an old name
@pytest.mark.parametrize("family", ["llama", "qwen3"])
@pytest.mark.parametrize(
    ("method", "load"),
    [("full", "bf16"), ("full", "fp32"), ("lora", "bf16"), ("dora", "bf16"), ("qlora", "fp32")],
)
def test_a_layer_keeps_what_we_say(family, method, load):
    # DoRA's magnitudes and norms, in fp32, are kept too, however many tokens there are
    constants = 8 * sum(OUTPUTS) / TOKENS if method == "dora" else 0.0
    assert predicted(family, method, load, 0.0) + constants == pytest.approx(measured(family, method, load))


def saved_by_gelu_new(family):
    """Bytes per token that a second layer of GPT-2 or Phi adds to what is saved, in fp32."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {
        "gpt2": {"n_embd": 64, "n_head": 4, "n_inner": 224, "n_positions": 128, "resid_pdrop": 0.0},
        "phi": {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 224, "resid_pdrop": 0.0},
    }[family]
    depth = {"gpt2": "n_layer", "phi": "num_hidden_layers"}[family]

    def saved(layers):
        settings = sizes | {depth: layers, "vocab_size": 128, "embd_pdrop": 0.0}
        if family == "gpt2":
            settings["attn_pdrop"] = 0.0
        config = AutoConfig.for_model(
            family, attn_implementation="sdpa", bos_token_id=0, eos_token_id=0, **settings
        )
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        kept, held = {}, []

        def pack(tensor):
            if TOKENS in tensor.shape:
                kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            held.append(tensor)
            return tensor

        tokens = torch.randint(0, 100, (1, TOKENS))
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(input_ids=tokens, labels=tokens, use_cache=False)
        weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        return sum(size for place, size in kept.items() if place not in weights)

    return (saved(2) - saved(1)) / TOKENS


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gpt2", "phi"])
def test_a_layer_of_gpt2_and_phi_keeps_the_steps_of_its_activation(family):
    architecture = Architecture(family, 64, 2, 4, 4, 16, 224, 128, 128)
    setup = replace(setup_of("llama", "full", "fp32", 0.0), architecture=architecture, precision="fp32")
    found = layer_activations(setup, count_parameters(setup), TOKENS)
    assert found == pytest.approx(saved_by_gelu_new(family))
