"""Memory at the end of a run: the model that was trained makes room for the one that is read back."""

import gc
from collections.abc import Iterator
from typing import Any, Final

import torch

ROOM: Final = 1.3
"""How many times a model's size a GPU must have free for it to be put there."""


def place_for(model: torch.nn.Module, device: torch.device) -> torch.device:
    """The device if the model is there already or fits beside what is there, else the host."""
    if device.type != "cuda":
        return device
    weights = list(model.parameters())
    if weights[0].device.type == device.type:
        return device
    size = sum(weight.numel() * weight.element_size() for weight in weights)
    gc.collect()
    # what the allocator keeps for itself counts as taken
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    return device if free > ROOM * size else torch.device("cpu")


def give_up(model: torch.nn.Module) -> None:
    """Frees the memory of a model's weights, buffers and gradients, whoever still holds the model or a part
    of it. It can't be used afterwards."""
    for tensor in [*model.parameters(), *model.buffers()]:
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
