"""FLOPs per token by hand, and as a share of a peak."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, MixtralConfig, MixtralForCausalLM

from finetune_api.method import LoraSpec, MethodSpec
from finetune_trainer.methods import apply_method
from finetune_trainer.model.utilisation import Utilisation, Workload, peak_flops, utilisation, workload

LAYER = 32 * 32 + 2 * 16 * 32 + 32 * 32 + 3 * 128 * 32
"""Query, key and value (two heads of eight each), output, and the three matrices of the MLP."""


def test_a_model_that_is_trained_whole_costs_six_flop_per_weight_and_attention(tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    vocabulary = model.config.vocab_size
    weights = 2 * LAYER + 32 * vocabulary
    assert workload(model) == Workload(weights, weights, layers=2, attention_width=32)
    assert workload(model).flops_per_token(100) == 6 * weights + 3 * 2 * 100 * 2 * 32


def test_frozen_weights_cost_no_gradient_of_their_own(tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    vocabulary = model.config.vocab_size
    method = MethodSpec(type="lora", lora=LoraSpec(rank=4, target_modules=["q_proj"]))
    found = workload(apply_method(model, method, seed=1))
    adapters = 2 * (4 * 32 + 32 * 4)
    assert found.matrix_weights == 2 * LAYER + 32 * vocabulary + adapters
    assert found.trained_matrix_weights == adapters


def test_conv1d_is_a_matrix_like_any_other() -> None:
    model = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=8))
    assert workload(model).matrix_weights == 16 * 48 + 16 * 16 + 2 * 16 * 64 + 16 * 50


def test_of_the_experts_those_count_that_a_token_is_sent_to() -> None:
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "vocab_size": 50}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8}
    config = MixtralConfig(**shape, **heads, num_local_experts=8, num_experts_per_tok=2)
    attention, expert = 4 * 16 * 16, 3 * 16 * 32
    assert workload(MixtralForCausalLM(config)).matrix_weights == attention + 2 * expert + 16 * 50


def test_the_share_is_that_of_all_devices() -> None:
    assert Utilisation(flops_per_token=6e9, peak=2 * 300e12).share(50_000) == 0.5


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA A100-SXM4-40GB", 312),
        ("NVIDIA L40S", 362),
        ("NVIDIA L4", 121),
        ("NVIDIA A10G", 70),
        ("Tesla T4", 65),
        ("NVIDIA GeForce RTX 4090", 165.2),
    ],
)
def test_the_peak_is_the_catalog_s_for_what_cuda_calls_the_device(
    monkeypatch: pytest.MonkeyPatch, name: str, teraflops: float
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: name)
    assert peak_flops(torch.device("cuda"), sixteen_bit=True) == pytest.approx(teraflops * 1e12)


@pytest.mark.parametrize(
    "name", ["NVIDIA L40", "NVIDIA RTX A1000", "NVIDIA H100 NVL", "NVIDIA A100-SXM4-40GB MIG 1g.5gb"]
)
def test_no_peak_is_taken_from_a_device_of_a_similar_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: name)
    assert peak_flops(torch.device("cuda"), sixteen_bit=True) is None


def test_what_has_no_known_peak_has_no_utilisation() -> None:
    cpu = torch.device("cpu")
    assert peak_flops(cpu, sixteen_bit=True) is None
    assert utilisation(torch.nn.Module(), cpu, sixteen_bit=True, ranks=1, tokens_per_document=10) is None
