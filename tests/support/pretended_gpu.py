"""A GPU that is not there: tensors that say they are on `cuda:0`, and are computed on the CPU.

What a GPU refuses is refused here: an operation on tensors of both devices, and NumPy on a tensor of the GPU.
So a run shows whether each tensor was put where it belongs, and its numbers are the CPU's. Not shown is what
is in CUDA itself: kernels (flash attention, weights that bitsandbytes has quantized; Triton's can be
interpreted, `interpreted_triton.py`), streams, and how much memory is taken.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import pytest
import torch
from torch.autograd.function import BackwardCFunction
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

import pretended_driver

GPU: Final = torch.device("cuda", 0)
CPU: Final = torch.device("cpu")

aten: Any = torch.ops.aten
Tensor: Any = torch.Tensor

CARRYING: Final = {aten.copy_.default, aten._foreach_copy_.default}
"""What takes values from one device to another."""

INDEXING: Final = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}
"""Take a tensor of the GPU, indices of either device, and values."""

TAKE_NUMBERS: Final = ("where", "fill", "_foreach_")
"""Beside pointwise operations, those that take a host's tensor of no dimension for a number."""


class MixedDevicesError(RuntimeError):
    """Where a GPU says «Expected all tensors to be on the same device»."""


class OnGpu(torch.Tensor):
    """A tensor of the pretended GPU."""

    held: torch.Tensor
    """Its values, in the host's memory."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: torch.Tensor, requires_grad: bool = False) -> "OnGpu":
        # for torch's C++ it is on the CPU: autograd would ask a driver for a stream of the GPU
        made = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            requires_grad=requires_grad,
        )
        made.held = held
        return made

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        """All is done in `__new__`."""

    device = property(lambda _self: GPU)
    is_cuda = property(lambda _self: True)
    is_cpu = property(lambda _self: False)

    @property
    def data(self) -> torch.Tensor:
        return OnGpu(self.held.detach())

    @data.setter
    def data(self, new: torch.Tensor) -> None:
        with torch._C.DisableTorchFunction():
            if isinstance(new, OnGpu):
                self.held = new.held
                Tensor.data.__set__(self, new)
            else:
                torch.utils.swap_tensors(self, torch.nn.Parameter(new, self.requires_grad))

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.held.__reduce_ex__(protocol)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"OnGpu({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, operation: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        refuse_mixed(operation, args, kwargs)
        out = operation(*held(args), **held(kwargs))
        if operation in CARRYING and not isinstance(args[0], OnGpu):
            return args[0]
        out = tree_map(lambda leaf: OnGpu(leaf) if isinstance(leaf, torch.Tensor) else leaf, out)
        return return_and_correct_aliasing(operation, args, kwargs, out)


def refuse_mixed(operation: Any, args: Any, kwargs: Mapping[str, Any]) -> None:
    """Raises `MixedDevicesError` where a GPU could not go on."""
    if operation in CARRYING:
        return
    if operation in INDEXING and isinstance(args[0], OnGpu):
        args = (args[0], *args[2:])
    numbers = (
        torch.Tag.pointwise in operation.tags
        or operation in INDEXING
        or any(word in str(operation) for word in TAKE_NUMBERS)
    )
    strays = [
        leaf
        for leaf in tree_leaves((args, kwargs))
        if isinstance(leaf, torch.Tensor) and not _belongs(leaf) and not (numbers and leaf.ndim == 0)
    ]
    if strays:
        shapes = ", ".join(str(tuple(stray.shape)) for stray in strays)
        raise MixedDevicesError(f"{operation}: tensors of cuda:0, and of the CPU, of shape {shapes}")


def held(tree: Any) -> Any:
    """The same, of the host's tensors."""
    return tree_map(lambda leaf: leaf.held if isinstance(leaf, OnGpu) else leaf, tree)


def moved(tensor: torch.Tensor, device: Any) -> torch.Tensor:
    """The tensor on a device, with its gradient's way back."""
    there = _is_gpu(device)
    if there == isinstance(tensor, OnGpu):
        return tensor
    with torch._C.DisableTorchFunction():
        found: torch.Tensor = (_ToGpu if there else _ToHost).apply(tensor)
    return found


class _ToGpu(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, tensor: torch.Tensor) -> torch.Tensor:
        return OnGpu(tensor.detach().clone())

    @staticmethod
    def backward(_context: Any, gradient: Any) -> Any:
        return gradient.held


class _ToHost(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, tensor: Any) -> torch.Tensor:
        return tensor.held.detach().clone()

    @staticmethod
    def backward(_context: Any, gradient: torch.Tensor) -> torch.Tensor:
        return OnGpu(gradient)


class Placement(TorchFunctionMode):
    """Where torch is told of a device: tensors are made there, moved there, or refused to the host."""

    def __torch_function__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensor = args[0] if args and isinstance(args[0], torch.Tensor) else None
        if tensor is not None:
            if function is Tensor.to:
                return _to(*args, **kwargs)
            if function in (Tensor.cpu, Tensor.cuda):
                return moved(tensor, CPU if function is Tensor.cpu else GPU)
            if function is Tensor.pin_memory:
                return tensor
            if function is Tensor.data.__set__ and isinstance(args[1], OnGpu):
                return torch.utils.swap_tensors(tensor, torch.nn.Parameter(args[1], tensor.requires_grad))
        if isinstance(tensor, OnGpu):
            if function in (Tensor.numpy, Tensor.__array__):
                raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")
            if function is Tensor.get_device:
                return 0
            if function in (Tensor.tolist, Tensor.untyped_storage, Tensor.data_ptr):
                return function(tensor.held.detach())
        if function is torch.svd_lowrank:
            with self:  # written in Python, it makes tensors by itself
                return torch._lowrank._svd_lowrank(*args, **kwargs)
        kwargs.pop("pin_memory", None)
        device = kwargs.get("device")
        if device is None:
            return function(*args, **kwargs)
        if not _is_gpu(device):
            return function(*held(args), **kwargs)
        made = function(*held(args), **kwargs | {"device": CPU})
        with torch._C.DisableTorchFunction():
            return OnGpu(made.detach(), made.requires_grad)


def _to(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """`Tensor.to`, told of a device, a type or another tensor."""
    told = list(args)
    device, kind = kwargs.pop("device", None), kwargs.pop("dtype", None)
    if told and isinstance(told[0], torch.Tensor):
        device, kind = told[0].device, told[0].dtype
    elif told:
        device, *rest = (None, *told) if isinstance(told[0], torch.dtype) else told
        kind = next((each for each in rest if isinstance(each, torch.dtype)), kind)
    if device is not None and torch.device(device).type == "meta":
        return Tensor.to(tensor, device, kind or tensor.dtype)
    if device is not None:
        tensor = moved(tensor, device)
    copy = bool(kwargs.get("copy"))
    return Tensor.to(tensor, kind or tensor.dtype, copy=copy)


def _belongs(tensor: torch.Tensor) -> bool:
    """Whether a GPU reads it: its own, or the host's that is managed by both (paged optimizers)."""
    return isinstance(tensor, OnGpu) or getattr(tensor, "is_paged", False)


def _is_gpu(device: Any) -> bool:
    return isinstance(device, int) or torch.device(device).type == "cuda"


@contextmanager
def pretended_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Inside, torch has one GPU. It ends with the test."""
    pretended_driver.install(monkeypatch)
    # a backward pass that is written in Python makes tensors by itself
    backward: Any = BackwardCFunction.apply
    monkeypatch.setattr(BackwardCFunction, "apply", lambda *args: _within(Placement(), backward, *args))
    # another thread has no pretended GPU
    monkeypatch.setenv("HF_DEACTIVATE_ASYNC_LOAD", "1")
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with Placement():
            yield
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)


def _within(mode: TorchFunctionMode, function: Callable[..., Any], *args: Any) -> Any:
    with mode:
        return function(*args)
