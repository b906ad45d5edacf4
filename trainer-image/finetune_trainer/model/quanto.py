"""optimum-quanto, the integer scheme of int4, as far as it does not fit in here by itself."""

from functools import cache
from types import SimpleNamespace
from typing import Any

import torch


@cache
def mend_quanto() -> None:
    """Makes optimum-quanto run without its extensions, on GPUs too, and under autocast."""
    from optimum.quanto.tensor.function import QuantizedLinearFunction

    _unpack_in_python()
    _stay_plain_on_gpus()
    QuantizedLinearFunction.backward = staticmethod(_backward)


def _backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, None, torch.Tensor | None]:
    """The gradients of a linear layer on a frozen packed weight, for its input and its bias. Under autocast
    the gradient has 16 bit and the weight's constants have 32, which quanto's own would not multiply."""
    _, weight = context.saved_tensors
    wants_input, _, wants_bias = context.needs_input_grad
    plain = weight.dequantize().to(gradient.dtype) if wants_input else None
    return (
        gradient @ plain if plain is not None else None,
        None,
        gradient.sum(dim=tuple(range(gradient.ndim - 1))) if wants_bias else None,
    )


def _stay_plain_on_gpus() -> None:
    """On a GPU quanto would pack the weights of 16-bit models anew, for kernels of its CUDA extension, which
    is not there, or for some of PyTorch's, which take nothing but bf16."""
    from optimum.quanto.tensor.weights.qbits import WeightQBitsTensor

    best_form = WeightQBitsTensor.create

    def create(
        qtype: Any, axis: int, group_size: int, size: Any, stride: Any, data: Any, *others: Any, **named: Any
    ) -> Any:
        form = WeightQBitsTensor if data.device.type == "cuda" else best_form
        return form(qtype, axis, group_size, size, stride, data, *others, **named)

    WeightQBitsTensor.create = staticmethod(create)


def _unpack_in_python() -> None:
    """Replaces quanto's extension by four lines of Python. It would be compiled from C++ or CUDA at first
    use, into quanto's own package: the image has neither those compilers nor a writable environment."""
    from optimum.quanto.library import get_extension, is_extension_available

    def unpack(packed: torch.Tensor, bits: int) -> torch.Tensor:
        return torch.cat([(packed >> shift) & (2**bits - 1) for shift in range(0, 8, bits)])

    for name in ("quanto_cpp", "quanto_cuda"):
        if is_extension_available(name):
            get_extension(name)._lib = SimpleNamespace(unpack=unpack)
