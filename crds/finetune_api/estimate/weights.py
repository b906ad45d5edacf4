"""Weights on one device: while a model loads, and while it trains. Sizes are in bytes."""

from typing import Final

from finetune_api.estimate.parameters import ParameterCounts
from finetune_api.estimate.setup import Setup
from finetune_api.estimate.states import added_memory

QUANTIZED_BYTES: Final = {"none": 0.0, "int8": 1.0, "int4": 0.5, "nf4": 0.5, "fp4": 0.5}
BLOCK: Final = 64
"""Weights that share a constant in 4 bit (bitsandbytes)."""
CONSTANTS_PER_BLOCK: Final = 256
"""Constants that share a constant under double quantization (Dettmers et al. 2023, section 3)."""


def weight_memory(setup: Setup, counts: ParameterCounts) -> float:
    """Weights on one device: quantized ones with their constants, others in their type, adapters in fp32
    (PEFT) or in DeepSpeed's 16 bit, a reference model as it was loaded where the stage needs one; ZeRO-3
    shares them out, but for the constants, which are no parameters, and a reward model."""
    own = counts.quantized * quantization_constants(setup) + reward_memory(setup)
    if setup.offload_parameters:
        return own
    return own + parameter_memory(setup, counts) / (setup.ranks if setup.zero_stage == 3 else 1)


def reward_memory(setup: Setup) -> float:
    """A reward model, which each device has in the arithmetic's type."""
    return float(setup.reward_parameters * setup.compute_bytes)


def parameter_memory(setup: Setup, counts: ParameterCounts) -> float:
    """All parameters, which ZeRO-3 shares out and gathers; the constants of quantized ones are none."""
    base: float = (counts.model - counts.quantized) * setup.weight_bytes
    base += counts.quantized * QUANTIZED_BYTES[setup.quantization.type]
    added = added_memory(setup, counts)
    reference = counts.model * setup.weight_bytes if setup.reference_copy else 0.0
    return base + added + reference


def loading_memory(setup: Setup, counts: ParameterCounts) -> float:
    """The whole quantized base, which bitsandbytes loads on each device before ZeRO-3 shares it out, in
    bytes; zero where it is never more than what training holds. Weights that are not quantized are shared
    out as they are loaded."""
    if setup.zero_stage < 3 or not counts.quantized:
        return 0.0
    plain = (counts.model - counts.quantized) * setup.load_bytes
    return plain + counts.quantized * quantized_bytes(setup)


def quantized_bytes(setup: Setup) -> float:
    """Bytes of one quantized weight, its share of the constants included."""
    return QUANTIZED_BYTES[setup.quantization.type] + quantization_constants(setup)


def quantization_constants(setup: Setup) -> float:
    """Bytes of constants for each quantized weight.

    4 bit: an fp32 constant per block of 64 weights; with double quantization one byte per block, and an fp32
    constant per 256 blocks: 0.516 instead of 0.5625 bytes in all (Dettmers et al. 2023, QLoRA, section 3).
    int8: an fp32 constant per row.
    """
    if setup.quantization.type == "int8":
        return 4 / setup.architecture.hidden
    if setup.quantization.double_quantization:
        return 1 / BLOCK + 4 / (BLOCK * CONSTANTS_PER_BLOCK)
    return 4 / BLOCK
