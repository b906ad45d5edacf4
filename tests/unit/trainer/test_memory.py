"""Room for a second model where the trained one fills the device."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from finetune_api import ResolvedJob
from finetune_trainer import memory
from finetune_trainer.memory import give_up, place_for
from finetune_trainer.models import load_base
from finetune_trainer.quantization import quantization_config

CUDA = torch.device("cuda", 0)


def held(model: torch.nn.Module) -> int:
    """Bytes of weights and buffers that can be freed."""
    tensors = [*model.parameters(), *model.buffers()]
    storages = [tensor.untyped_storage() for tensor in tensors]
    return sum(storage.nbytes() for storage in storages if storage.resizable())


def test_a_model_that_is_given_up_holds_no_memory_however_many_still_hold_it() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.BatchNorm1d(64))
    model(torch.randn(4, 64)).sum().backward()
    kept = list(model.parameters())
    assert held(model) > 64 * 64 * 4
    give_up(model)
    assert held(model) == 0
    assert [weight.grad for weight in kept] == [None] * 4


@pytest.mark.parametrize("kind", ["nf4", "int8", "int4"])
def test_packed_weights_are_given_up_too(
    tiny_model: Path, make_job: Callable[..., ResolvedJob], kind: str
) -> None:
    spec = make_job({"quantization": {"type": kind}, "method": {"type": "lora"}}).spec
    quantization = quantization_config(spec, "fp32", str(tiny_model))
    model = load_base(spec.model, str(tiny_model), torch.float32, quantization)
    weight: Any = model.get_submodule("model.layers.0.mlp.up_proj").weight
    packed = weight._data._data if kind == "int4" else weight.data
    assert packed.untyped_storage().nbytes() > 0
    give_up(model)
    assert packed.untyped_storage().nbytes() == 0


@pytest.mark.parametrize(("free", "place"), [(2.0, "cuda"), (1.1, "cpu")])
def test_a_model_goes_to_the_gpu_where_it_fits_and_stays_on_the_host_where_not(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, free: float, place: str
) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    size = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    emptied: list[bool] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (int(free * size), 10 * size))
    assert place_for(model, CUDA).type == place
    assert emptied, "what the allocator keeps for itself is room, too"


def test_nothing_is_asked_of_cuda_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.torch, "cuda", None)
    cpu = torch.device("cpu")
    assert place_for(torch.nn.Linear(2, 2), cpu) == cpu
