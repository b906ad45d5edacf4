"""Buffers of one device: what is there all the time beside weights and activations, what a layer's pass and
the optimizer's step need for a moment. Sizes are in bytes; sources: `docs/estimates.md`.
"""

from typing import Final

from finetune_api.estimate.allocator import MIB
from finetune_api.estimate.optimizers import WHOLE_LIST_STEP
from finetune_api.estimate.parameters import ParameterCounts
from finetune_api.estimate.setup import Setup
from finetune_api.estimate.states import largest_matrix, trained_bytes

BUCKET_ELEMENTS: Final = 500_000_000
"""DeepSpeed's `reduce_bucket_size`: gradients are gathered in a buffer of so many elements."""
LIVE_ELEMENTS: Final = 1_000_000_000
"""DeepSpeed's `stage3_max_live_parameters` and `sub_group_size`: parameters gathered, or updated, at once."""

WORKSPACE: Final = 2 * 8.125 * MIB
"""cuBLAS' workspace of the forward and of the backward thread (PyTorch, CUBLAS_WORKSPACE_CONFIG)."""


def standing_buffers(setup: Setup, counts: ParameterCounts) -> dict[str, float]:
    """What is there all the time, in bytes by what it is."""
    buffers = {"cuBLAS": WORKSPACE}
    if setup.autocast:
        buffers["copies"] = setup.compute_bytes * _cast_weights(setup, counts)
    if setup.zero_stage >= 1:
        buffers["bucket"] = float(BUCKET_ELEMENTS * setup.compute_bytes)
    if setup.zero_stage == 3:
        buffers["gathered weights"] = float(min(LIVE_ELEMENTS, counts.model) * setup.compute_bytes)
    return buffers


def layer_buffers(setup: Setup, counts: ParameterCounts) -> float:
    """What a layer's pass needs for a moment: one dequantized matrix, DoRA's merged one."""
    buffers = 0.0
    if counts.quantized:
        buffers += setup.compute_bytes * largest_matrix(setup)
    if setup.method.type == "dora" and counts.targets:
        # ‖W + BA‖ per row: the product and the sum, in fp32, of one matrix at a time
        buffers += 2 * 4 * max(target.linear.weights for target in counts.targets)
    return buffers


def _cast_weights(setup: Setup, counts: ParameterCounts) -> float:
    """fp32 weights whose 16-bit copy autocast, or the backward pass, holds until the pass ends: all of a
    model that is trained without checkpointing, else the output embedding and one matrix of a layer."""
    if counts.trained_model and not setup.checkpointing:
        return float(counts.trained_model)
    head = setup.architecture.vocabulary * setup.architecture.hidden
    return head + (largest_matrix(setup) if counts.trained_model else 0.0)


def step_buffers(setup: Setup, counts: ParameterCounts) -> float:
    """What the optimizer's step needs for a moment: fp32 gradients of its share under DeepSpeed, one
    temporary tensor per weight in torch's optimizers that go through all weights at once."""
    if setup.offload_optimizer:
        return 0.0
    if setup.deepspeed and setup.zero_stage >= 1:
        share = counts.trained / setup.ranks
        return 4 * (min(share, LIVE_ELEMENTS) if setup.zero_stage == 3 else share)
    if setup.optimizer in WHOLE_LIST_STEP:
        return trained_bytes(setup, counts)
    return 0.0
