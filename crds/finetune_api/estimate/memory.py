"""Memory of one device: weights, gradients, optimizer, activations, logits, buffers and overhead.

A step has three moments that can be its peak: the loss (all activations, and the logits), the backward pass
of the first layer (all gradients, the activations of one layer) and the optimizer's step (its temporary
tensors). Each is added up from the same parts, and the largest counts; so does loading the weights, where
that takes more. Sizes are in bytes. Sources: `docs/estimates.md`.
"""

from dataclasses import dataclass, fields, replace
from typing import Final

from finetune_api.estimate.activations import (
    backward_gradients,
    freed_logits,
    head_inputs,
    held_logits,
    kept_beyond_pass,
    layer_activations,
    layer_input,
    layer_peak,
    logits,
)
from finetune_api.estimate.allocator import (
    CACHED,
    CACHED_NARROW,
    context_memory,
    taken_by_states,
    unused_blocks,
)
from finetune_api.estimate.buffers import layer_buffers, standing_buffers, step_buffers
from finetune_api.estimate.drawing import cache_bytes
from finetune_api.estimate.optimizers import FUSES_GRADIENTS, is_paged
from finetune_api.estimate.parameters import ParameterCounts, count_parameters, layers_with_gradients
from finetune_api.estimate.ranges import Range
from finetune_api.estimate.setup import Setup
from finetune_api.estimate.states import (
    gradient_memory,
    originals_memory,
    states_memory,
)
from finetune_api.estimate.weights import loading_memory, weight_memory

GIB: Final = 2.0**30


@dataclass(frozen=True)
class MemoryParts:
    """Memory of one device by what it holds, in bytes, at the moment of the peak."""

    weights: float = 0.0
    gradients: float = 0.0
    optimizer: float = 0.0
    activations: float = 0.0
    logits: float = 0.0
    buffers: float = 0.0
    overhead: float = 0.0

    @property
    def total(self) -> float:
        """Everything."""
        return float(sum(getattr(self, field.name) for field in fields(self)))

    @property
    def allocated(self) -> float:
        """What `torch.cuda.max_memory_allocated` shows: everything but the overhead."""
        return self.total - self.overhead

    def gib(self) -> dict[str, float]:
        """Each part in GiB, by name."""
        return {field.name: getattr(self, field.name) / GIB for field in fields(self)}


@dataclass(frozen=True)
class Memory:
    """Memory of one device, with its uncertainty; `parts` add up to what is expected."""

    parts: MemoryParts
    low: float
    high: float

    @property
    def expected(self) -> float:
        """Bytes that are expected at the peak."""
        return self.parts.total

    @property
    def range(self) -> Range:
        """The same as a range, in bytes."""
        return Range(self.low, self.expected, self.high)


def memory(setup: Setup) -> Memory:
    """Peak memory of one device.

    The low bound assumes that no record is long, that paged states have moved to the host, that freed blocks
    are used again and that nothing of a quantized base was cast to fp32; the high bound that gradients are
    kept between passes, paged states stay, and freed blocks are not used again.
    """
    counts = count_parameters(setup)
    expected = _peak(setup, counts, setup.length, "expected")
    best = replace(setup, load_precision=setup.precision) if counts.quantized else setup
    low = _peak(best, counts, setup.shortest_length, "low")
    worst = replace(setup, accumulation=max(2, setup.accumulation))
    high = _peak(worst, counts, setup.length, "high")
    return Memory(expected, min(low.total, expected.total), max(high.total, expected.total))


def beyond_torch(setup: Setup, parts: MemoryParts) -> float:
    """What of the parts is no memory of torch's: the overhead, and a paged optimizer's states."""
    if not is_paged(setup.optimizer):
        return parts.overhead
    originals = originals_memory(setup, count_parameters(setup))
    return parts.overhead + parts.optimizer - originals


def _peak(setup: Setup, counts: ParameterCounts, length: int, bound: str) -> MemoryParts:
    """The parts at the largest moment, with the overhead of this bound."""
    loading = MemoryParts(
        weights=loading_memory(setup, counts), overhead=getattr(context_memory(setup), bound)
    )
    step = _with_paged_states(setup, counts, _step_peak(setup, counts, length, bound), bound)
    return max(step, loading, key=lambda parts: parts.total)


def _with_paged_states(setup: Setup, counts: ParameterCounts, parts: MemoryParts, bound: str) -> MemoryParts:
    """The parts with the states of a paged optimizer, as far as the device has room beside them: the rest is
    moved to the host. In the low bound all of it is, in the high one none. They are no memory of torch's."""
    if bound == "low" or not is_paged(setup.optimizer):
        return parts
    states = states_memory(setup, counts)
    if bound == "expected":
        states = min(states, max(0.0, setup.capacity - 1 - parts.total))
    return replace(parts, optimizer=parts.optimizer + states)


@dataclass(frozen=True)
class _Pass:
    """What one pass over a micro-batch makes, in bytes."""

    kept: float
    """What one layer keeps until its backward pass: its input alone under checkpointing."""
    stack: float
    """What all layers keep."""
    forward: float
    """The same with the head."""
    in_layer: float
    """What is made besides within the backward pass of one layer. Its own activations are computed again
    while the inputs of all layers are still there."""
    at_loss: float
    """Around the loss."""
    held: float
    """Logits that are there until the backward pass has ended."""
    older: float
    """What the pass before still holds."""
    freed: float
    """What serves no larger tensor after it was freed: the smaller of the loss and a layer, and 16-bit
    logits."""
    freed_narrow: float
    """The blocks of a fused loss, which are narrower than what a layer needs."""
    again: float
    """Gradients inside one more layer."""


def _pass(setup: Setup, counts: ParameterCounts, length: int) -> _Pass:
    tokens = float(setup.sequences * length)
    kept = tokens * (layer_input(setup) if setup.checkpointing else layer_activations(setup, counts, length))
    in_layer = tokens * layer_peak(setup, counts, length) - (0.0 if setup.checkpointing else kept)
    stack = layers_with_gradients(setup) * kept
    at_loss, held = tokens * logits(setup), tokens * held_logits(setup)
    if setup.fused_loss:
        # Liger takes as many rows at once as make the block about as large as the hidden states.
        at_loss += 3.0 * setup.compute_bytes * tokens * setup.architecture.hidden
    return _Pass(
        kept=kept,
        stack=stack,
        forward=stack + tokens * head_inputs(setup, counts),
        in_layer=in_layer,
        at_loss=at_loss,
        held=held,
        older=tokens * setup.architecture.layers * kept_beyond_pass(setup),
        freed=0.0 if setup.fused_loss else min(at_loss - held, in_layer) + tokens * freed_logits(setup),
        freed_narrow=min(at_loss, in_layer) if setup.fused_loss else 0.0,
        again=tokens * backward_gradients(setup),
    )


def _step_peak(setup: Setup, counts: ParameterCounts, length: int, bound: str) -> MemoryParts:
    """The parts at the largest of a step's moments."""
    made, gradients = _pass(setup, counts, length), gradient_memory(setup, counts)
    states = 0.0 if is_paged(setup.optimizer) else states_memory(setup, counts)
    constant = MemoryParts(
        weights=weight_memory(setup, counts),
        gradients=gradients if _keeps_gradients(setup) else 0.0,
        optimizer=originals_memory(setup, counts) + states,
        buffers=sum(standing_buffers(setup, counts).values()),
    )
    if setup.program.longest_first:
        constant = replace(constant, gradients=0.0, optimizer=0.0)
    full = replace(constant, gradients=gradients)
    in_layer = constant.buffers + layer_buffers(setup, counts)
    at_step = replace(full, buffers=constant.buffers + step_buffers(setup, counts))
    moments = (
        replace(constant, activations=made.forward, logits=made.at_loss),
        replace(constant, activations=made.forward + made.older, logits=made.held),
        replace(constant, activations=made.stack + made.in_layer, logits=made.held, buffers=in_layer),
        replace(full, activations=made.kept + made.in_layer, logits=made.held, buffers=in_layer),
        at_step,
        replace(constant, activations=cache_bytes(setup, length) if setup.answer_tokens else 0.0),
    )
    share: float = getattr(CACHED, bound)
    overhead = getattr(context_memory(setup), bound) + share * made.freed
    overhead += getattr(CACHED_NARROW, bound) * made.freed_narrow
    peak = replace(max(moments, key=lambda parts: parts.total), overhead=overhead)
    if bound == "low":
        return peak
    loss = taken_by_states(setup, constant.optimizer, made.forward + made.at_loss)
    held_back = at_step.total + share * loss
    tokens = float(setup.sequences * length)
    for parts in moments:
        blocks = unused_blocks(setup, counts, tokens, parts.activations, parts.logits)
        if setup.program.unpacked_kept:
            blocks += max(0.0, in_layer - parts.buffers)
        held_back = max(held_back, parts.total + blocks)
    if bound == "high":
        apart = replace(
            full,
            activations=made.forward + made.in_layer + made.again,
            logits=made.at_loss,
            buffers=in_layer + at_step.buffers - constant.buffers,
        )
        held_back = max(held_back, apart.total)
    # A byte short of all, so that rounding never makes a job too large for its device.
    spare = max(0.0, setup.capacity - 1 - peak.total)
    return replace(peak, overhead=overhead + min(spare, held_back - peak.allocated))


def _keeps_gradients(setup: Setup) -> bool:
    """Whether there are gradients while the layers' activations are still there: those of earlier passes, or
    the output embedding's, which is the first to be used."""
    return setup.accumulation > 1 or setup.deepspeed or setup.optimizer in FUSES_GRADIENTS
