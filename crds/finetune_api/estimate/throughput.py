"""Floating-point operations of a token, and how long a device takes for them."""

from dataclasses import dataclass
from typing import Final

from finetune_api.estimate.memory import quantized_bytes, weight_memory
from finetune_api.estimate.parameters import ParameterCounts, count_parameters
from finetune_api.estimate.ranges import Range
from finetune_api.estimate.setup import Setup
from finetune_api.hardware import Accelerator

UTILIZATION: Final = Range(0.15, 0.45, 0.60)
"""Share of the dense peak that large matrix products of a transformer reach in eager PyTorch with fused
attention (model and hardware FLOPs utilization as in PaLM, Chowdhery et al. 2022, appendix B; 0.45–0.52 in
Qwen's published LoRA timings on A100 from 2,048 tokens on; 0.15–0.2 in fitcheck-llm's on a T4)."""

DISPATCH_SECONDS: Final = Range(10e-6, 22e-6, 40e-6)
"""Time in which PyTorch's eager mode starts one operation: below it no kernel helps (5–10 µs in C++, more
with Python modules, autocast and PEFT around it)."""
OPERATIONS_PER_LAYER: Final = 30
"""Kernels of one layer's forward pass: norms, rotary embedding, products, activation, residuals."""
OPERATIONS_PER_ADAPTER: Final = 6
"""Cast, dropout, two products, scale and sum of one LoRA adapter."""


@dataclass(frozen=True)
class Throughput:
    """How fast one optimizer step goes."""

    flops_per_token: float
    """Floating-point operations that the hardware executes per token, recomputation included."""
    step_seconds: Range
    """Seconds of one optimizer step; low is the fastest."""
    bound: str
    """What holds a pass up: compute, dispatch or communication."""


def flops_per_token(setup: Setup, counts: ParameterCounts, length: float) -> float:
    """Operations per token: 6·N for weights that are trained, 4·N for frozen ones (no gradient of the
    weight), 3·A for causal attention, with A = 2·length·width·layers; full checkpointing adds one forward
    pass (2·N + A).

    N are the weights that multiply a token (Kaplan et al. 2020, section 2.1; attention after PaLM, appendix
    B).
    """
    matmul = float(setup.architecture.matmul_parameters)
    trained = min(1.0, counts.trained_model / counts.model)
    attention = 2.0 * length * setup.architecture.query_width * setup.architecture.layers
    forward = 2 * matmul + 2 * counts.adapters + attention
    weights = 2 * matmul * trained + 2 * counts.adapters
    backward = 2 * matmul + 2 * counts.adapters + 2 * attention + weights
    return forward + backward + (forward if setup.checkpointing else 0.0)


def throughput(setup: Setup, accelerator: Accelerator, length: float) -> Throughput:
    """Time of one optimizer step, for records of `length` tokens each.

    A pass takes the longest of computing, starting its kernels, and moving what ZeRO moves.
    """
    counts = count_parameters(setup)
    flops = flops_per_token(setup, counts, length)
    tokens = setup.sequences * length
    peak = 1e12 * accelerator.tflops.get(setup.precision, min(accelerator.tflops.values()))
    unpacking = _dequantized_bytes(setup, counts) / (1e9 * accelerator.bandwidth_gbs)
    compute = Range(
        *(
            tokens * flops / (peak * share) + unpacking
            for share in (UTILIZATION.high, UTILIZATION.expected, UTILIZATION.low)
        )
    )
    operations = _operations(setup, counts)
    dispatch = DISPATCH_SECONDS.map(lambda seconds: seconds * operations)
    moved = _communicated_bytes(setup, counts) / (1e9 * accelerator.interconnect_gbs)
    micro = Range(
        max(compute.low, dispatch.low, moved * 0.5),
        max(compute.expected, dispatch.expected, moved),
        max(compute.high, dispatch.high) + moved,
    )
    step = micro.map(
        lambda seconds: seconds * setup.accumulation + _update_seconds(setup, counts, accelerator)
    )
    causes = {"compute": compute.expected, "dispatch": dispatch.expected, "communication": moved}
    return Throughput(flops, step, max(causes, key=lambda cause: causes[cause]))


def _operations(setup: Setup, counts: ParameterCounts) -> float:
    """Kernels of one pass: forward once (twice when recomputed), backward twice as many."""
    adapters = sum(target.layers for target in counts.targets) * OPERATIONS_PER_ADAPTER
    forward = setup.architecture.layers * OPERATIONS_PER_LAYER + adapters
    return forward * (4 if setup.checkpointing else 3)


def _dequantized_bytes(setup: Setup, counts: ParameterCounts) -> float:
    """Bytes that cross the memory bus per pass to turn the quantized base into 16 bit, layer by layer: once
    forward, once backward, once more when recomputed; whatever the number of tokens."""
    if not counts.quantized:
        return 0.0
    passes = 3 if setup.checkpointing else 2
    return passes * counts.quantized * (quantized_bytes(setup) + setup.compute_bytes)


def _communicated_bytes(setup: Setup, counts: ParameterCounts) -> float:
    """Bytes that a rank sends per pass: its gradients once per pass at ZeRO-2 (else once per step, spread
    over the passes), and at ZeRO-3 all parameters for the forward and again for the backward pass
    (Rajbhandari et al. 2020, section 7)."""
    if setup.ranks == 1:
        return 0.0
    share = (setup.ranks - 1) / setup.ranks
    gradients = 2.0 * counts.trained * setup.compute_bytes
    if setup.zero_stage < 2:
        gradients /= setup.accumulation
    parameters = 2 * weight_memory(setup, counts) * setup.ranks if setup.zero_stage == 3 else 0.0
    return share * (gradients + parameters)


def _update_seconds(setup: Setup, counts: ParameterCounts, accelerator: Accelerator) -> float:
    """The optimizer's step: reads and writes about 28 bytes per trained weight (weight, gradient, two
    moments); offloaded, they cross to the host and back over PCIe at about 25 GB/s."""
    share = setup.ranks if setup.zero_stage >= 1 else 1
    if setup.offload_optimizer:
        return 4.0 * counts.trained / share / 25e9
    return 28.0 * counts.trained / share / (1e9 * accelerator.bandwidth_gbs)
