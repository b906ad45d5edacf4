"""How long a device takes for an optimizer step: its kernels one after the other, or starting them."""

import math
from dataclasses import dataclass
from math import inf
from typing import Final

from finetune_api.estimate.drawing import ANSWERED, bytes_per_token, drawn_together
from finetune_api.estimate.operations import Work, merged_bytes, pass_work
from finetune_api.estimate.optimizers import WHOLE_LIST_STEP
from finetune_api.estimate.parameters import ParameterCounts, count_parameters
from finetune_api.estimate.ranges import Range
from finetune_api.estimate.setup import Setup
from finetune_api.estimate.weights import parameter_memory, quantized_bytes
from finetune_api.hardware import Accelerator, Precision

SHAPES: Final = Range(1.0, 0.85, 0.6)
"""Share of the device's best matrix product that a model's shapes reach, for tiles and waves that are not
full (NVIDIA, Matrix Multiplication Background User's Guide); low is the fastest. Chosen with llm-foundry's
table for A100."""

BANDWIDTH: Final = Range(0.95, 0.85, 0.7)
"""Share of the memory's peak bandwidth that elementwise kernels reach: refresh and the turns between reading
and writing take the rest. Assumed; plain copies reach about 0.9."""

DISPATCH_SECONDS: Final = Range(10e-6, 22e-6, 40e-6)
"""Time in which PyTorch's eager mode starts one operation: below it no kernel helps (5–10 µs in C++, more
with Python modules, autocast and PEFT around it)."""
OPERATIONS_PER_LAYER: Final = 30
"""Kernels of one layer's forward pass: norms, rotary embedding, products, activation, residuals."""
FUSED_OPERATIONS_PER_LAYER: Final = 14
"""The same where Liger's run: seven products, attention, two norms, rotation, activation, two sums."""
OPERATIONS_PER_ADAPTER: Final = 6
"""Cast, dropout, two products, scale and sum of one LoRA adapter."""
OPERATIONS_PER_UNPACKING: Final = 5
"""Beside the product of one quantized matrix: its constants and its weights unpacked (bitsandbytes), its
input and its result cast, and the copy that PEFT makes of the result."""

EXPOSED: Final = Range(0.0, 1.0, 1.0)
"""Share of the communication that computing does not hide. All of it is expected: collectives hold
multiprocessors and memory bandwidth that kernels beside them lack, and the gathers before the first layer
have nothing to hide behind."""

LINK_SHARE: Final = Range(0.9, 0.8, 0.3)
"""Share of a link that collectives of large messages reach: 200 of 300 GB/s between eight A100, 85 to 96 of
100 between nodes (NVIDIA/nccl-tests, issues 149 and 119). The third at worst is assumed, for devices on PCIe
that reach each other through the host's memory alone."""
NODE_LINK: Final = Range(inf, inf, 12.5e9)
"""Bytes per second between one node and the others. Nobody has said what network there is: with an adapter
of 200 or 400 Gb/s beside each device, as in NVIDIA's DGX, it is about as fast as the link inside the node,
which is expected; at worst the node has 100 Gb/s for all of its devices."""

FOREACH_TENSORS: Final = 20
"""Tensors as large as the trained weights that torch's AdamW reads or writes when it goes through all weights
at once: decay, two moments, square root, division, sum and update, each a kernel."""
FUSED_TENSORS: Final = 7
"""The same in one kernel: weight, gradient and two moments read, all but the gradient written."""
CLIPPING_TENSORS: Final = 3
"""The gradients, read for their norm, and read and written when they are scaled."""
HOST_LINK: Final = 25e9
"""Bytes per second between host and device over PCIe 4 with 16 lanes, of 32·10⁹ at best."""
HOST_MEMORY: Final = Range(200e9, 100e9, 15e9)
"""Bytes per second that DeepSpeed's Adam for CPUs reads and writes with all cores of a host. Assumed: whole
steps of Qwen2.5-3B take 2.4 to 3.1 s on two devices of a host with 128 cores (DeepSpeed, pull request 7474);
low after a host of 64 cores and eight ranks, whose steps take 17 s longer with offload than without."""
HOST_BYTES: Final = 30
"""That it moves for each weight: the weight and two moments in fp32, read and written, the gradient, and the
weight in 16 bit."""
RANKS_PER_HOST: Final = 8
"""Ranks that share a host, at most."""


@dataclass(frozen=True)
class Throughput:
    """How fast one optimizer step goes."""

    flops_per_token: float
    """Floating-point operations that the hardware executes per token, recomputation included."""
    step_seconds: Range
    """Seconds of one optimizer step; low is the fastest."""
    parts: dict[str, float]
    """Expected seconds of one pass by what takes them: products, attention, memory, unpacking,
    communication, and dispatch, which counts where it is longer than all but communication together."""

    update_seconds: float
    """Seconds of the optimizer's own part of a step."""

    drawing_seconds: float = 0.0
    """Seconds of a step in which answers are drawn, spread over the steps that learn from them."""

    @property
    def pass_seconds(self) -> float:
        """Expected seconds of one pass."""
        return _pass_seconds(self.parts)

    @property
    def bound(self) -> str:
        """What takes most of a step: drawing answers, or of its passes compute, memory, dispatch or
        communication."""
        if self.drawing_seconds > self.step_seconds.expected / 2:
            return "drawing"
        causes = {
            "compute": self.parts["products"] + self.parts["attention"],
            "memory": self.parts["memory"] + self.parts["unpacking"],
            "communication": self.parts["communication"],
        }
        if self.parts["dispatch"] > causes["compute"] + causes["memory"]:
            causes = {"dispatch": self.parts["dispatch"], "communication": causes["communication"]}
        return max(causes, key=lambda cause: causes[cause])


def flops_per_token(setup: Setup, counts: ParameterCounts, length: float) -> float:
    """Operations per token: 6·N for weights that are trained, 4·N for frozen ones (no gradient of the
    weight), 3.5·A for causal attention in fused kernels, with A = 2·length·width·layers, and 3·2·A for eager
    attention, which computes the masked half too; full checkpointing adds the layers' forward pass.

    N are the weights that multiply a token (Kaplan et al. 2020, section 2.1; attention after PaLM, appendix
    B).
    """
    return pass_work(setup, counts, length).operations


def throughput(setup: Setup, accelerator: Accelerator, length: float) -> Throughput:
    """Time of one optimizer step, for records of `length` tokens each."""
    counts = count_parameters(setup)
    work = pass_work(setup, counts, length)
    bounds = {
        name: _pass_parts(setup, counts, accelerator, work * (setup.sequences * length), name)
        for name in ("low", "expected", "high")
    }
    updates = {name: _update_seconds(setup, counts, accelerator, name) for name in bounds}
    drawing = {name: _drawing_seconds(setup, counts, accelerator, length, name) for name in bounds}
    passes = {name: setup.accumulation * _pass_seconds(bounds[name]) for name in bounds}
    step = Range(*(passes[name] + updates[name] + drawing[name] for name in bounds))
    return Throughput(work.operations, step, bounds["expected"], updates["expected"], drawing["expected"])


def _pass_seconds(parts: dict[str, float]) -> float:
    """Kernels run one after the other while the host starts the next ones; collectives come on top."""
    kernels = sum(parts[name] for name in ("products", "attention", "memory", "unpacking"))
    return max(kernels, parts["dispatch"]) + parts["communication"]


def _pass_parts(
    setup: Setup, counts: ParameterCounts, accelerator: Accelerator, work: Work, bound: str
) -> dict[str, float]:
    """Seconds of one pass by what takes them, for one of the bounds."""
    shapes, dispatch, exposed = (getattr(figure, bound) for figure in (SHAPES, DISPATCH_SECONDS, EXPOSED))
    bandwidth = 1e9 * accelerator.bandwidth_gbs * getattr(BANDWIDTH, bound)
    precision: Precision = "tf32" if setup.tensor_float else setup.precision
    narrow, wide = accelerator.sustained_flops(precision), accelerator.sustained_flops("fp32")
    passes = 3 if setup.checkpointing else 2
    products = (work.products / narrow + work.wide_products / wide) / shapes
    # However few tokens there are, all weights have to be read.
    read = passes * setup.compute_bytes * setup.architecture.matmul_parameters / bandwidth
    fused = accelerator.attention_share * setup.program.attention_speed
    return {
        "products": max(products, read),
        "attention": (work.attention / narrow + work.wide_attention / wide) / fused,
        "memory": (work.moved + _weight_bytes_moved(setup, counts)) / bandwidth,
        "unpacking": _dequantized_bytes(setup, counts) / bandwidth,
        "communication": exposed
        * (
            _communicated_bytes(setup, counts) / _link(setup, accelerator, bound)
            + _host_bytes(setup, counts) / HOST_LINK
        ),
        "dispatch": dispatch * _operations(setup, counts),
    }


def _link(setup: Setup, accelerator: Accelerator, bound: str) -> float:
    """Bytes per second that each rank sends. In a ring over all ranks, what each sends crosses the border of
    a node once."""
    share: float = getattr(LINK_SHARE, bound)
    inside = 1e9 * accelerator.interconnect_gbs * share
    if setup.nodes == 1:
        return inside
    if accelerator.network_gbs is not None:
        return min(inside, 1e9 * accelerator.network_gbs * share)
    between: float = getattr(NODE_LINK, bound)
    return min(inside, between)


def _operations(setup: Setup, counts: ParameterCounts) -> float:
    """Kernels of one pass: forward once (twice when recomputed), backward twice as many, and the reference's
    forward passes."""
    layer = FUSED_OPERATIONS_PER_LAYER if setup.fused_layers else OPERATIONS_PER_LAYER
    if counts.quantized:
        layer += OPERATIONS_PER_UNPACKING * len(setup.architecture.linears)
    plain = setup.architecture.layers * layer
    adapters = sum(target.layers for target in counts.targets) * OPERATIONS_PER_ADAPTER
    learning = (plain + adapters) * (4 if setup.checkpointing else 3)
    return learning + plain * setup.extra_forwards


def _drawing_seconds(
    setup: Setup, counts: ParameterCounts, accelerator: Accelerator, length: float, bound: str
) -> float:
    """Seconds per optimizer step in which answers are drawn: for each token a forward pass, which reads all
    weights, and at ZeRO-3 gathers them, or takes as long as starting its kernels.

    Offloaded weights come from the host once more for each token.
    """
    if not setup.answer_tokens:
        return 0.0
    bandwidth = 1e9 * accelerator.bandwidth_gbs * getattr(BANDWIDTH, bound)
    adapters = sum(target.layers for target in counts.targets) * OPERATIONS_PER_ADAPTER
    dispatch = setup.architecture.layers * OPERATIONS_PER_LAYER + adapters
    together = drawn_together(setup.architecture, setup.compute_bytes, setup.accumulation)
    products = 2 * setup.architecture.matmul_parameters * setup.sequences * together
    kernels = bytes_per_token(setup, counts, length) / bandwidth
    kernels += products / accelerator.sustained_flops(setup.precision)
    each: float = max(kernels, dispatch * getattr(DISPATCH_SECONDS, bound))
    if setup.zero_stage == 3 and setup.ranks > 1:
        each += parameter_memory(setup, counts) / _link(setup, accelerator, bound)
    if setup.offload_parameters:
        each += parameter_memory(setup, counts) / setup.ranks / HOST_LINK
    share: float = getattr(ANSWERED, bound)
    seconds: float = math.ceil(setup.accumulation / together) * setup.answer_tokens * share * each
    return seconds / setup.passes_per_answer


def _weight_bytes_moved(setup: Setup, counts: ParameterCounts) -> float:
    """Bytes that a pass moves to look at weights beside its products, again when recomputed: autocast's
    16-bit copies of fp32 ones, and DoRA's merged ones."""
    moved = merged_bytes(setup, counts)
    if setup.autocast:
        moved += (4 + setup.compute_bytes) * float(counts.model - counts.quantized)
    return moved * (2 if setup.checkpointing else 1)


def _dequantized_bytes(setup: Setup, counts: ParameterCounts) -> float:
    """Bytes that cross the memory bus per pass to turn the quantized base into 16 bit, layer by layer: once
    forward, once backward, once more when recomputed; whatever the number of tokens."""
    if not counts.quantized:
        return 0.0
    passes = 3 if setup.checkpointing else 2
    return passes * counts.quantized * (quantized_bytes(setup) + setup.compute_bytes)


def _communicated_bytes(setup: Setup, counts: ParameterCounts) -> float:
    """Bytes that a rank sends per pass (Rajbhandari et al. 2020, section 7). Gradients are summed where each
    rank keeps its share, which sends them once: in each pass at ZeRO-2 and -3, else once per step, spread
    over the passes. Once per step the new weights go to all ranks (without ZeRO the summed gradients); at
    ZeRO-3 all parameters do, in each pass for the forward and again for the backward pass."""
    if setup.ranks == 1:
        return 0.0
    share = (setup.ranks - 1) / setup.ranks
    once: float = counts.trained * setup.compute_bytes
    summed = once if setup.zero_stage >= 2 else once / setup.accumulation
    spread = once / setup.accumulation
    if setup.zero_stage == 3:
        spread = 2 * parameter_memory(setup, counts)
    return share * (summed + spread)


def _host_bytes(setup: Setup, counts: ParameterCounts) -> float:
    """Bytes that cross between host and device per pass: a rank's share of offloaded parameters for the
    forward and again for the backward pass, and of the gradients whose optimizer is on the host."""
    moved = 2 * parameter_memory(setup, counts) if setup.offload_parameters else 0.0
    if setup.offload_optimizer and setup.zero_stage >= 2:
        moved += counts.trained * setup.compute_bytes
    return moved / setup.ranks


def _update_seconds(setup: Setup, counts: ParameterCounts, accelerator: Accelerator, bound: str) -> float:
    """The optimizer's step over one rank's share of the trained weights; offloaded, it runs in the host's
    memory, which the ranks of a node share, and new weights go to the device."""
    share = counts.trained / (setup.ranks if setup.zero_stage >= 1 else 1)
    if setup.offload_optimizer:
        host = HOST_BYTES * share * min(setup.ranks, RANKS_PER_HOST)
        speed: float = getattr(HOST_MEMORY, bound)
        return host / speed + setup.compute_bytes * share / HOST_LINK
    each = setup.optimizer in WHOLE_LIST_STEP and not setup.deepspeed
    tensors = CLIPPING_TENSORS + (FOREACH_TENSORS if each else FUSED_TENSORS)
    size = 4 if setup.deepspeed or counts.added else setup.weight_bytes
    return tensors * size * share / (1e9 * accelerator.bandwidth_gbs * BANDWIDTH.expected)
