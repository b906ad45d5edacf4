"""Memory of the pods, beside that of the devices: what of a run on GPUs surely stands in the host's."""

from typing import Final

from finetune_api.estimate.parameters import ParameterCounts, count_parameters
from finetune_api.estimate.setup import BYTES, Setup

OFFLOADED_BYTES: Final = 12
"""Of a trained weight whose optimizer is offloaded: fp32 weight and Adam's two moments (ZeRO-Offload, Ren et
al. 2021, without its gradients)."""

LARGEST_FILE: Final = 50e9
"""Bytes of weights that transformers writes as one file, which is put together in memory."""


def host_memory(setup: Setup, nodes: int) -> float:
    """Bytes that each pod needs at least, libraries and data not counted: while the model is read, or later
    while it is saved, whichever is more. Other weights go straight to the device as they are read."""
    counts = count_parameters(setup)
    return max(_reading(setup, counts, nodes), _offloaded(setup, counts, nodes) + _saving(setup, counts))


def _reading(setup: Setup, counts: ParameterCounts, nodes: int) -> float:
    """DeepSpeed casts the weights on the host, each rank its own whole model; ZeRO-3 shares them out as they
    are read."""
    wide = BYTES[setup.load_precision] > setup.compute_bytes and setup.quantization.type == "none"
    if not (setup.deepspeed and wide and setup.zero_stage < 3):
        return 0.0
    return setup.ranks / nodes * BYTES[setup.load_precision] * counts.model


def _offloaded(setup: Setup, counts: ParameterCounts, nodes: int) -> float:
    optimizer = OFFLOADED_BYTES * counts.trained if setup.offload_optimizer else 0
    parameters = setup.compute_bytes * counts.model if setup.offload_parameters else 0
    return (optimizer + parameters) / nodes


def _saving(setup: Setup, counts: ParameterCounts) -> float:
    """A checkpoint of adapters is small, one of a whole model is not."""
    return 0.0 if setup.method.uses_adapters else min(LARGEST_FILE, setup.weight_bytes * counts.model)
