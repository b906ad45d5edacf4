"""FLOPs per token by hand, and as a share of a peak."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from finetune_api.method import LoraSpec, MethodSpec
from finetune_trainer.methods import apply_method
from finetune_trainer.utilisation import Utilisation, Workload, peak_flops, utilisation, workload

LAYER = 32 * 32 + 2 * 16 * 32 + 32 * 32 + 3 * 128 * 32
"""Query, key and value (two heads of eight each), output, and the three matrices of the MLP."""


def test_a_model_that_is_trained_whole_costs_six_flop_per_weight_and_attention(tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    vocabulary = model.config.vocab_size
    weights = 2 * LAYER + 32 * vocabulary
    assert workload(model) == Workload(weights, weights, layers=2, hidden_size=32)
    assert workload(model).flops_per_token(100) == 6 * weights + 3 * 2 * 100 * 2 * 32


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_frozen_weights_cost_no_gradient_of_their_own(tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    vocabulary = model.config.vocab_size
    method = MethodSpec(type="lora", lora=LoraSpec(rank=4, target_modules=["q_proj"]))
    found = workload(apply_method(model, method, seed=1))
    adapters = 2 * (4 * 32 + 32 * 4)
    assert found.matrix_weights == 2 * LAYER + 32 * vocabulary + adapters
    assert found.trained_matrix_weights == adapters


def test_the_share_is_that_of_all_devices() -> None:
    assert Utilisation(flops_per_token=6e9, peak=2 * 300e12).share(50_000) == 0.5


def test_what_has_no_known_peak_has_no_utilisation() -> None:
    cpu = torch.device("cpu")
    assert peak_flops(cpu, sixteen_bit=True) is None
    assert utilisation(torch.nn.Module(), cpu, sixteen_bit=True, ranks=1, tokens_per_sequence=10) is None
