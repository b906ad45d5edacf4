"""Room for a second model where the trained one fills the device."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from finetune_api import ResolvedJob
from finetune_api.model import ModelSpec
from finetune_trainer.model import memory
from finetune_trainer.model.heads import Head
from finetune_trainer.model.memory import bytes_of, give_up, place_for
from finetune_trainer.model.models import load_base
from finetune_trainer.model.quantization import quantization_config

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


@pytest.mark.parametrize(("free", "place"), [(140, "cuda"), (110, "cpu")])
def test_weights_go_to_the_gpu_where_they_fit_and_to_the_host_where_not(
    monkeypatch: pytest.MonkeyPatch, free: int, place: str
) -> None:
    emptied: list[bool] = []
    monkeypatch.setattr(gc, "collect", lambda: 0)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (free, 1000))
    assert place_for(100, CUDA).type == place
    assert emptied, "what the allocator keeps for itself is room, too"


def test_nothing_is_asked_of_cuda_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", None)
    cpu = torch.device("cpu")
    assert place_for(100, cpu) == cpu


class Loader:
    """In transformers' place: says where it was told to put the weights."""

    told: object = None

    @classmethod
    def from_pretrained(cls, *_: object, **settings: Any) -> tuple[torch.nn.Module, dict[str, list[str]]]:
        cls.told = settings.get("device_map")
        return torch.nn.Linear(2, 2), {"missing_keys": [], "mismatched_keys": []}


@pytest.mark.parametrize(
    ("has_gpu", "zero3", "device", "told"),
    [
        (True, False, CUDA, {"": CUDA}),
        # a quantizer would prefer the GPU
        (True, False, torch.device("cpu"), {"": torch.device("cpu")}),
        (True, True, CUDA, None),
        (True, False, None, None),
        (False, False, torch.device("cpu"), None),
    ],
)
def test_a_base_is_read_straight_to_where_it_will_compute(
    monkeypatch: pytest.MonkeyPatch, has_gpu: bool, zero3: bool, device: torch.device | None, told: object
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(memory, "is_deepspeed_zero3_enabled", lambda: zero3)
    load_base(ModelSpec(path="/m"), "/m", torch.float32, head=Head(Loader, task="CAUSAL_LM"), device=device)
    assert Loader.told == told


def test_the_size_of_a_model_that_zero_3_has_taken_apart_is_that_of_the_whole() -> None:
    model = torch.nn.Linear(4, 4, bias=False)
    assert bytes_of(model) == 64
    share: Any = model.weight
    share.data, share.ds_numel = torch.empty(0), 16
    assert bytes_of(model) == 64
