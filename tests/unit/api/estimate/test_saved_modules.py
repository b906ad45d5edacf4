"""Embeddings that are trained beside adapters, as copies in fp32: what they need beside their own weights."""

import pytest

from finetune_api.catalog.lookup import from_spec
from finetune_api.estimate import estimate, setup_for
from finetune_api.estimate.activations import head_inputs, layer_input
from finetune_api.estimate.buffers import standing_buffers
from finetune_api.estimate.parameters import count_parameters
from finetune_api.model import ArchitectureSpec

HIDDEN, WORDS, LAYERS = 4096, 128256, 32
EMBEDDING = WORDS * HIDDEN
CHECKPOINTED = {"training.gradientCheckpointing": "full"}


@pytest.fixture
def setup(job, a100):
    """A setup of LoRA on Llama 3.1 8B that trains these modules too."""

    def make(*modules, changes=None):
        return setup_for(job({"method.lora.modulesToSave": list(modules)} | (changes or {})), a100)

    return make


def copies(setup):
    return standing_buffers(setup, count_parameters(setup)).get("copies", 0.0)


def test_each_weight_of_a_copy_takes_16_bytes(job, a100):
    saved = job(CHECKPOINTED | {"method.lora.modulesToSave": ["lm_head"]})
    with_it, without = (estimate(it, a100, devices=1).memory.parts for it in (saved, job(CHECKPOINTED)))
    for part, size in {"weights": 4, "gradients": 4, "optimizer": 8}.items():
        assert getattr(with_it, part) - getattr(without, part) == size * EMBEDDING


def test_the_stream_is_as_wide_as_the_trained_copy_of_the_embedding(setup):
    assert layer_input(setup("lm_head")) == 2 * HIDDEN
    assert layer_input(setup("embed_tokens")) == 4 * HIDDEN


def test_deepspeed_holds_the_copy_and_so_the_stream_in_16_bit(setup):
    assert layer_input(setup("embed_tokens", changes={"distributed.engine": "deepspeed"})) == 2 * HIDDEN


def test_autocast_copies_the_trained_output_embedding_and_without_checkpointing_the_adapters(setup):
    adapters = count_parameters(setup()).adapters
    assert copies(setup(changes=CHECKPOINTED)) == 0
    assert copies(setup("lm_head", changes=CHECKPOINTED)) == 2 * EMBEDDING
    assert copies(setup()) == 2 * adapters
    assert copies(setup("embed_tokens", "lm_head")) == 2 * (EMBEDDING + adapters)


def test_the_trained_output_embedding_keeps_its_input(setup):
    def kept(*modules):
        found = setup(*modules)
        return head_inputs(found, count_parameters(found))

    assert kept("lm_head") - kept() == 2 * HIDDEN


SIZES = {"hidden_size": 64, "intermediate_size": 224, "vocab_size": 128, "tie_word_embeddings": False}
TOKENS = 96


def saved_by_torch(modules, checkpointing):
    """Bytes that a small model saves for its backward pass: of tokens, and of 16-bit copies of weights."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    from finetune_trainer.model.models import train_in_fp32

    config = AutoConfig.for_model(
        "llama", num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, **SIZES
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa")
    lora = LoraConfig(r=8, target_modules="all-linear", modules_to_save=modules, task_type="CAUSAL_LM")
    peft = get_peft_model(model, lora)
    train_in_fp32(peft)
    if checkpointing:
        peft.enable_input_require_grads()
        model.gradient_checkpointing_enable({"use_reentrant": False})
    peft.train()
    kept, held = {}, []

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = (tensor.untyped_storage().nbytes(), tuple(tensor.shape))
        held.append(tensor)
        return tensor

    words = torch.randint(0, 100, (1, TOKENS))
    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", dtype=torch.bfloat16),
    ):
        peft(input_ids=words, labels=words, use_cache=False)
    weights = {weight.untyped_storage().data_ptr() for weight in peft.parameters()}
    trained = {tuple(weight.shape) for weight in peft.parameters() if weight.requires_grad}
    own = [found for place, found in kept.items() if place not in weights]
    of_tokens = sum(size for size, shape in own if TOKENS in shape or shape[:1] == (1,))
    return of_tokens, sum(size for size, shape in own if shape in trained or shape[::-1] in trained)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # PEFT asks transformers under an old name
def test_torch_saves_what_we_say(setup):
    spec = ArchitectureSpec(architecture="llama", layers=2, attention_heads=4, key_value_heads=2, **SIZES)
    head = 2 * from_spec(spec, 128).vocabulary * 64
    plain, none = saved_by_torch(None, checkpointing=True)
    assert none == 0
    of_tokens, copied = saved_by_torch(["lm_head"], checkpointing=True)
    assert (of_tokens - plain, copied) == (2 * 64 * TOKENS, head)
    of_tokens, copied = saved_by_torch(["embed_tokens"], checkpointing=True)
    indices = 8 * TOKENS
    assert (of_tokens - plain - indices, copied) == (2 * 2 * 64 * TOKENS, 0)
    _, with_adapters = saved_by_torch(["embed_tokens", "lm_head"], checkpointing=False)
    adapters = 2 * 8 * 2 * sum((64 + 64, 64 + 32, 64 + 32, 64 + 64, *[64 + 224] * 3))
    assert with_adapters == head + adapters
