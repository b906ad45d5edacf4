"""What torch, autocast and safetensors ask of a GPU's driver, answered where there is none."""

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, Final

import pytest
import safetensors.torch
import torch
from torch.amp import autocast_mode

MEMORY: Final = 64 * 2**30
"""Of the GPU, in bytes: all of it is free, and next to nothing allocated."""


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the test ends, torch is told of one H100, and opens safetensors files for it on the host."""
    for name, answer in _answers().items():
        monkeypatch.setattr(torch.cuda, name, answer)
        if hasattr(torch.cuda.random, name):
            monkeypatch.setattr(torch.cuda.random, name, answer)
    stream = SimpleNamespace(is_capturing=lambda: False)
    monkeypatch.setattr(torch.accelerator, "current_stream", lambda *_: stream)
    _cast_on_the_cpu(monkeypatch)
    monkeypatch.setattr(safetensors.torch, "safe_open", _Opened)


def _answers() -> dict[str, Callable[..., Any]]:
    """What `torch.cuda` is asked in a run."""
    draws = torch.Generator()
    facts = {
        "is_available": True,
        "is_initialized": True,
        "device_count": 1,
        "current_device": 0,
        "get_device_name": "NVIDIA H100 80GB HBM3",
        "get_device_capability": (9, 0),
        "get_device_properties": SimpleNamespace(
            major=9, minor=0, total_memory=MEMORY, multi_processor_count=2
        ),
        "get_arch_list": ["sm_90"],
        "is_bf16_supported": True,
        "mem_get_info": (MEMORY, MEMORY),
        "memory_allocated": 2**20,
        "max_memory_allocated": 2**20,
    }
    done = ("set_device", "empty_cache", "synchronize", "manual_seed", "manual_seed_all", "_lazy_init")
    states: dict[str, Callable[..., Any]] = {
        "get_rng_state": lambda *_: draws.get_state(),
        "set_rng_state": lambda state, *_: draws.set_state(state),
        "device": lambda *_: nullcontext(),
    }
    told = {name: (lambda *_, value=value, **__: value) for name, value in facts.items()}
    return {**told, **{name: lambda *_: None for name in done}, **states}


def _cast_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autocast for the GPU is that of the CPU, where everything is computed."""

    def there(given: Any) -> Any:
        return "cpu" if given == "cuda" else given

    begin: Any = autocast_mode.autocast.__init__
    monkeypatch.setattr(
        autocast_mode.autocast,
        "__init__",
        lambda self, device_type, *args, **kwargs: begin(self, there(device_type), *args, **kwargs),
    )
    for name in ("is_autocast_enabled", "get_autocast_dtype"):
        plain = getattr(torch, name)
        monkeypatch.setattr(torch, name, lambda kind="cuda", plain=plain: plain(there(kind)))


class _Opened:
    """A safetensors file, whose library would ask the driver."""

    def __init__(self, file: Any, framework: str, device: Any = "cpu", **kwargs: Any) -> None:
        self._file = safetensors.safe_open(file, framework, **kwargs)
        self._device = device

    def __enter__(self) -> "_Opened":
        self._file.__enter__()
        return self

    def __exit__(self, *args: Any) -> None:
        self._file.__exit__(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def get_tensors(self) -> dict[str, torch.Tensor]:
        return {name: tensor.to(self._device) for name, tensor in self._file.get_tensors().items()}
