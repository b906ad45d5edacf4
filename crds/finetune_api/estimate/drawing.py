"""Answers that a model draws while it learns (grpo, ppo): token by token, for all sequences of a micro-batch,
with the keys and values of earlier tokens in a cache. Bytes of one device, unless they say otherwise."""

from typing import Final

from finetune_api.estimate.parameters import ParameterCounts
from finetune_api.estimate.ranges import Range
from finetune_api.estimate.setup import Setup
from finetune_api.estimate.weights import quantized_bytes

ANSWERED: Final = Range(0.25, 1.0, 1.0)
"""Longest answer of a micro-batch as a share of `sampling.maxNewTokens`: the others wait for it. Assumed."""


def cache_bytes(setup: Setup, length: float) -> float:
    """Keys and values of all layers, for sequences of so many tokens."""
    architecture = setup.architecture
    each = 2 * architecture.key_value_width * setup.compute_bytes * architecture.layers
    return float(setup.sequences * length * each)


def bytes_per_token(setup: Setup, counts: ParameterCounts, length: float) -> float:
    """What one more token of each sequence reads and writes: all weights, which autocast casts from fp32 each
    time and bitsandbytes unpacks, and the cache."""
    plain = counts.model - counts.quantized
    weights = plain * (setup.weight_bytes + (2 * setup.compute_bytes if setup.autocast else 0))
    packed = counts.quantized * (quantized_bytes(setup) + 2 * setup.compute_bytes)
    return weights + packed + counts.added * setup.added_bytes + cache_bytes(setup, length)
