"""What a process holds of the device beyond its tensors: its CUDA context, and blocks that torch's caching
allocator keeps without use. Sizes are in bytes; sources: `docs/estimates.md`.
"""

from typing import Final

from finetune_api.estimate.parameters import ParameterCounts
from finetune_api.estimate.ranges import Range
from finetune_api.estimate.setup import Setup

KIB: Final = 2.0**10
MIB: Final = 2.0**20

CONTEXT_PER_THREAD: Final = Range(1.9 * KIB, 3.5 * KIB, 5.5 * KIB)
"""CUDA context of one process by thread that the device holds at once, for each of which the driver sets
stack and local memory aside: what `nvidia-smi` shows beyond torch's reserved memory. 141 MiB on a T4, 40 ×
1024 threads (measured by fitcheck-llm); 0.7 GiB on an A100, 108 × 2048 (fms-acceleration's runs with Liger:
memory of the device less what torch allocated is a straight line over the batch, and begins there). Low is a
context without kernels (0.4 GiB on an A100), high one with all kernels loaded at once."""
COMMUNICATION: Final = Range(100 * MIB, 300 * MIB, 1000 * MIB)
"""NCCL's channels and buffers, where there are several ranks."""
CACHED: Final = Range(0.0, 0.75, 1.2)
"""The caching allocator gives no block back while there is room, and a block serves no larger tensor: of what
was freed before the peak, this share is of no use to it. Those are the smaller of the two moments, the loss
and a layer (tensors as large as all logits, and small ones), and 16-bit logits (PyTorch, notes on CUDA memory
management; 0.6 to 1 in fitcheck-llm's runs)."""
CACHED_NARROW: Final = Range(0.0, 1.0, 1.2)
"""The same of a fused loss's blocks: as wide as the model, they serve no tensor of the feed-forward layer."""


def context_memory(setup: Setup) -> Range:
    """What a process holds of the device beyond what torch reserves: its CUDA context, and NCCL's buffers."""
    context = CONTEXT_PER_THREAD.map(lambda size: size * setup.resident_threads)
    return context if setup.ranks == 1 else context.plus(COMMUNICATION)


def unused_blocks(
    setup: Setup, counts: ParameterCounts, tokens: float, activations: float, logits: float
) -> float:
    """Whole blocks that stay with torch's allocator after what was in them is gone: it gives them back only
    before it runs out of memory.

    They are the 16-bit embeddings of a base in bitsandbytes' types, once PEFT has cast them to fp32, less
    what fits in their place of the `activations` and `logits` of a moment, and the flat gradients of ZeRO-1
    and -2's step, in 16 bit and in fp32, for which no smaller block will do.
    """
    unused = 0.0
    if setup.quantization.type in ("nf4", "fp4", "int8") and setup.weight_bytes > setup.compute_bytes:
        architecture = setup.architecture
        blocks = 1 if architecture.tied else 2
        block = setup.compute_bytes * float(architecture.vocabulary * architecture.hidden)
        tensor = tokens * setup.program.loss_bytes * architecture.vocabulary
        in_place = min(logits, blocks * tensor) if tensor <= block else 0.0
        unused += max(0.0, blocks * block - in_place - activations)
    if setup.deepspeed and setup.zero_stage in (1, 2) and not setup.offload_optimizer:
        unused += (4 + setup.compute_bytes) * counts.trained / setup.ranks
    return unused


def taken_by_states(setup: Setup, states: float, loss: float) -> float:
    """Of the blocks that the first `loss` has left, with all its activations, those in which torch's
    optimizers make their `states` at their first step, so that each later loss needs others. DeepSpeed makes
    them before."""
    return 0.0 if setup.deepspeed else min(states, loss)
