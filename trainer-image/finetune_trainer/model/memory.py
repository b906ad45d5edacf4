"""Memory of host and device: where weights are read to, and how a model makes room for another."""

import gc
from collections.abc import Iterable, Iterator
from typing import Any, Final

import torch
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

ROOM: Final = 1.3
"""How many times a model's size a GPU must have free for it to be put there."""


def place_for(size: int, device: torch.device) -> torch.device:
    """The device if so many bytes of weights fit beside what is there, else the host."""
    if device.type != "cuda":
        return device
    gc.collect()
    # what the allocator keeps for itself counts as taken
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    return device if free > ROOM * size else torch.device("cpu")


def bytes_of(model: torch.nn.Module) -> int:
    """Of all weights, also where ZeRO-3 has taken them apart."""
    weights = model.parameters()
    return sum(int(getattr(each, "ds_numel", each.numel())) * each.element_size() for each in weights)


def straight_to(device: torch.device | None) -> dict[str, Any]:
    """What transformers is told so that weights go to a device as they are read. By way of the host, a pod
    would need the memory of the whole model, once for each of its ranks.

    Nothing where there is no GPU to choose, and under ZeRO-3, which shares out weights as they are read.
    """
    if device is None or not torch.cuda.is_available() or is_deepspeed_zero3_enabled():
        return {}
    return {"device_map": {"": device}}


def give_up(model: torch.nn.Module) -> None:
    """Frees the memory of a model's weights, buffers and gradients, whoever still holds the model or a part
    of it. It can't be used afterwards."""
    free([*model.parameters(), *model.buffers()])


def free(tensors: Iterable[torch.Tensor]) -> None:
    """Frees the memory of tensors and their gradients, whoever still holds them."""
    for tensor in tensors:
        tensor.grad = None
        for part in _parts(tensor):
            storage = part.untyped_storage()
            # that of a file that is mapped into memory is the file's
            if storage.resizable():
                storage.resize_(0)


def _parts(tensor: Any) -> Iterator[torch.Tensor]:
    """The plain tensors behind a weight: itself, those that a quantized one is made of, this rank's share."""
    if (share := getattr(tensor, "ds_tensor", None)) is not None:
        yield share
    if (state := getattr(tensor, "quant_state", None)) is not None:
        yield state.absmax
    if hasattr(tensor, "__tensor_flatten__"):
        for name in tensor.__tensor_flatten__()[0]:
            yield from _parts(getattr(tensor, name))
    else:
        yield tensor
