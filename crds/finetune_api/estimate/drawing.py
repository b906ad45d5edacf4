"""Answers that a model draws while it learns (grpo, ppo): token by token, for the sequences of several
micro-batches, with the keys and values of earlier tokens in a cache. Bytes of one device, unless they say
otherwise."""

from typing import Final

from finetune_api.catalog.architecture import Architecture
from finetune_api.estimate.parameters import ParameterCounts
from finetune_api.estimate.ranges import Range
from finetune_api.estimate.setup import Setup
from finetune_api.estimate.weights import quantized_bytes

ANSWERED: Final = Range(0.25, 1.0, 1.0)
"""Longest answer as a share of `sampling.maxNewTokens`: the others wait for it. Assumed."""


def drawn_together(architecture: Architecture, compute_bytes: int, micro_batches: int) -> int:
    """How many micro-batches of a step have their answers drawn at once, by the trainer too: as many as have
    a cache no larger than what learning from one of them holds in any case, the inputs of its layers and the
    logits in two types; at least one."""
    layers, logits = architecture.layers * architecture.hidden, architecture.vocabulary
    held = compute_bytes * layers + (compute_bytes + 4) * logits
    return max(1, min(micro_batches, held // _cached(architecture, compute_bytes)))


def cache_bytes(setup: Setup, length: float) -> float:
    """Keys and values of all layers, for the sequences that are drawn at once, of so many tokens."""
    together = drawn_together(setup.architecture, setup.compute_bytes, setup.accumulation)
    return float(together * setup.sequences * length * _cached(setup.architecture, setup.compute_bytes))


def _cached(architecture: Architecture, compute_bytes: int) -> int:
    """Keys and values of a token."""
    return 2 * architecture.key_value_width * compute_bytes * architecture.layers


def bytes_per_token(setup: Setup, counts: ParameterCounts, length: float) -> float:
    """What one more token of each sequence reads and writes: all weights, which autocast casts from fp32 each
    time and bitsandbytes unpacks, and the cache."""
    plain = counts.model - counts.quantized
    weights = plain * (setup.weight_bytes + (2 * setup.compute_bytes if setup.autocast else 0))
    packed = counts.quantized * (quantized_bytes(setup) + 2 * setup.compute_bytes)
    return weights + packed + counts.added * setup.added_bytes + cache_bytes(setup, length)
