"""Buffers of one device: what is there all the time beside weights and activations, what a layer's pass and
the optimizer's step need for a moment. Sizes are in bytes; sources: `docs/estimates.md`.
"""

from typing import Final

from finetune_api.estimate.allocator import MIB
from finetune_api.estimate.optimizers import WHOLE_LIST_STEP
from finetune_api.estimate.parameters import ParameterCounts, trains_head
from finetune_api.estimate.setup import Setup
from finetune_api.estimate.states import largest_matrix, trained_bytes

BUCKET_ELEMENTS: Final = 500_000_000
"""DeepSpeed's `reduce_bucket_size`: gradients are gathered in a buffer of so many elements."""
LIVE_ELEMENTS: Final = 1_000_000_000
"""DeepSpeed's `stage3_max_live_parameters` and `sub_group_size`: parameters gathered, or updated, at once."""

INTEGERS: Final = 4 + 1 - 2
"""Bytes of one weight as int32 and int8, less its 16-bit value, which comes when the first has gone."""
WORKSPACE: Final = 2 * 8.125 * MIB
"""cuBLAS' workspace of the forward and of the backward thread (PyTorch, CUBLAS_WORKSPACE_CONFIG)."""


def standing_buffers(setup: Setup, counts: ParameterCounts) -> dict[str, float]:
    """What is there all the time, in bytes by what it is."""
    buffers = {"cuBLAS": WORKSPACE}
    if copies := _cast_weights(setup, counts):
        buffers["copies"] = setup.compute_bytes * copies
    if setup.zero_stage >= 1:
        buffers["bucket"] = float(BUCKET_ELEMENTS * setup.compute_bytes)
    if setup.zero_stage == 3:
        buffers["gathered weights"] = float(min(LIVE_ELEMENTS, counts.model) * setup.compute_bytes)
    return buffers


def layer_buffers(setup: Setup, counts: ParameterCounts) -> float:
    """What a layer's pass needs for a moment: one dequantized matrix, or all of a layer and the integers that
    the largest is made of; DoRA's merged one."""
    buffers = 0.0
    if counts.quantized:
        buffers += setup.compute_bytes * largest_matrix(setup)
    if counts.quantized and setup.program.unpacked_kept:
        others = setup.architecture.linear_weights / setup.architecture.layers - largest_matrix(setup)
        buffers += setup.compute_bytes * others + INTEGERS * largest_matrix(setup)
    if setup.method.type == "dora" and counts.targets:
        # ‖W + BA‖ per row: the product and the sum, in fp32, of one matrix at a time
        buffers += 2 * 4 * max(target.linear.weights for target in counts.targets)
    return buffers


def _cast_weights(setup: Setup, counts: ParameterCounts) -> float:
    """fp32 weights whose 16-bit copy autocast, or the backward pass, holds until the pass ends: all that is
    trained without checkpointing, else the output embedding, and of a model that is trained one matrix of a
    layer. Beside adapters on a 16-bit base the embedding is fp32 only as a copy that is trained."""
    if not setup.casts_operations:
        return 0.0
    head = float(setup.architecture.vocabulary * setup.architecture.hidden)
    if counts.trained_model:
        if not setup.autocast:
            return 0.0
        return head + largest_matrix(setup) if setup.checkpointing else float(counts.trained_model)
    wide = setup.added_bytes > setup.compute_bytes
    adapters = counts.adapters if wide and not setup.checkpointing else 0.0
    saved = trains_head(setup, counts) and setup.saved_bytes > setup.compute_bytes
    return adapters + (head if setup.autocast or saved else 0.0)


def step_buffers(setup: Setup, counts: ParameterCounts) -> float:
    """What the optimizer's step needs for a moment: fp32 gradients of its share under DeepSpeed, one
    temporary tensor per weight in torch's optimizers that go through all weights at once."""
    if setup.offload_optimizer:
        return 0.0
    if setup.deepspeed and setup.zero_stage >= 1:
        share = counts.trained / setup.ranks
        return 4 * (min(share, LIVE_ELEMENTS) if setup.zero_stage == 3 else share)
    if setup.optimizer in WHOLE_LIST_STEP:
        return setup.program.step_tensors * trained_bytes(setup, counts)
    return 0.0
