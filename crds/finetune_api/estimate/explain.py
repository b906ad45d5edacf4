"""Each formula of an estimate, with the numbers that went in: an equation that one can check by hand."""

from dataclasses import dataclass
from math import isclose

from finetune_api.estimate.activations import head_inputs, layer_activations, layer_input, layer_peak
from finetune_api.estimate.allocator import COMMUNICATION, CONTEXT_PER_THREAD
from finetune_api.estimate.buffers import standing_buffers
from finetune_api.estimate.cost import HOST_WATTS, JOULES_PER_KWH, LOAD
from finetune_api.estimate.estimate import Estimate
from finetune_api.estimate.memory import GIB
from finetune_api.estimate.parameters import ParameterCounts, count_parameters, layers_with_gradients
from finetune_api.estimate.setup import Setup
from finetune_api.estimate.weights import QUANTIZED_BYTES, loading_memory, quantization_constants


@dataclass(frozen=True)
class Line:
    """One figure: its name, its formula in words, and the formula with numbers."""

    name: str
    formula: str
    numbers: str


def explain(result: Estimate) -> list[Line]:
    """The formulas behind an estimate, in the order of its parts; sources are in docs/estimates.md.

    Each line's numbers are `terms = value unit`, with values rounded as shown.
    """
    setup, parts, counts = result.setup, result.memory.parts, count_parameters(result.setup)
    return [
        _weights(setup, counts, parts.weights),
        _per_weight(
            "gradients",
            "trained weights × bytes of a gradient",
            counts,
            parts.gradients,
            setup.ranks if setup.zero_stage >= 2 else 1,
        ),
        _per_weight(
            "optimizer",
            "trained weights × bytes of the optimizer's states (and fp32 originals under DeepSpeed)",
            counts,
            parts.optimizer,
            setup.ranks if setup.zero_stage >= 1 else 1,
        ),
        _activations(setup, counts, parts.activations),
        _logits(setup, parts.logits),
        _buffers(setup, counts, parts.buffers),
        _overhead(setup, parts.overhead),
        *_run(result),
    ]


def _weights(setup: Setup, counts: ParameterCounts, size: float) -> Line:
    plain = counts.model - counts.quantized
    packed, constants = QUANTIZED_BYTES[setup.quantization.type], quantization_constants(setup)
    if size and size == loading_memory(setup, counts):
        formula = "the whole quantized base, which each device loads before ZeRO-3 shares it out"
        numbers = f"{counts.quantized:,} × {packed + constants:.6f} B"
        return Line("weights", formula, f"{numbers} + {plain:,} × {setup.load_bytes} B = {_gib(size)}")
    terms = [f"{plain:,} × {setup.weight_bytes} B", f"{counts.added:,} × {setup.added_bytes} B"]
    if counts.quantized:
        terms.insert(0, f"{counts.quantized:,} × {packed} B")
    if setup.reference_copy:
        terms.append(f"{counts.model:,} × {setup.weight_bytes} B")
    share = f" / {setup.ranks}" if setup.zero_stage == 3 else ""
    reward = f" + {setup.reward_parameters:,} × {setup.compute_bytes} B" if setup.reward_parameters else ""
    own = (f" + {counts.quantized:,} × {constants:.6f} B" if counts.quantized else "") + reward
    formula = (
        "quantized weights + other weights + adapters + a reference's, and quantization's constants and a "
        "reward model"
    )
    return Line("weights", formula, f"({' + '.join(terms)}){share}{own} = {_gib(size)}" if size else _gib(0))


def _per_weight(name: str, formula: str, counts: ParameterCounts, size: float, shares: int) -> Line:
    """What one device holds for the trained weights, of which so many devices have a share each."""
    if not size:
        return Line(name, formula, f"none at the peak = {_gib(0)}")
    each = size * shares / max(1, counts.trained)
    shared = f" / {shares}" if shares > 1 else ""
    return Line(name, formula, f"{counts.trained:,} × {each:.6g} B{shared} = {_gib(size)}")


def _activations(setup: Setup, counts: ParameterCounts, size: float) -> Line:
    """As they are at the moment of the peak: the loss, the last layer's backward pass or the first one's."""
    tokens, layers = setup.sequences * setup.length, layers_with_gradients(setup)
    whole = layer_activations(setup, counts, setup.length)
    kept = layer_input(setup) if setup.checkpointing else whole
    inside = layer_peak(setup, counts, setup.length) - (0 if setup.checkpointing else kept)
    stack = f"{layers} × {kept:,.0f} B"
    moments = {
        f"{stack} + {head_inputs(setup, counts):,.0f} B": layers * kept + head_inputs(setup, counts),
        f"{stack} + {inside:,.0f} B": layers * kept + inside,
        f"{kept:,.0f} B + {inside:,.0f} B": kept + inside,
    }
    formula = (
        "tokens × (layers × bytes kept per layer + bytes of the head, or inside one layer's backward pass)"
    )
    for terms, each in moments.items():
        if isclose(size, tokens * each, rel_tol=1e-9):
            return Line("activations", formula, f"{tokens:,} × ({terms}) = {_gib(size)}")
    return Line("activations", formula, f"none at the optimizer's step = {_gib(size)}")


def _logits(setup: Setup, size: float) -> Line:
    words, tokens = setup.architecture.vocabulary, setup.sequences * setup.length
    formula = "tokens × vocabulary × 12 B, at the loss"
    if not size:
        return Line("logits", formula, f"none at the peak = {_gib(0)}")
    return Line("logits", formula, f"{tokens:,} × {words:,} × {size / tokens / words:g} B = {_gib(size)}")


def _buffers(setup: Setup, counts: ParameterCounts, size: float) -> Line:
    standing = standing_buffers(setup, counts)
    terms = [f"{_gib(value)} {name}" for name, value in standing.items()]
    if (moment := size - sum(standing.values())) > 1:
        terms.append(f"{_gib(moment)} of one matrix, or of the optimizer's step")
    return Line("buffers", "copies, buckets and gathered weights", f"{' + '.join(terms)} = {_gib(size)}")


def _overhead(setup: Setup, size: float) -> Line:
    context = CONTEXT_PER_THREAD.expected * setup.resident_threads
    terms = [f"{setup.resident_threads} × {CONTEXT_PER_THREAD.expected / GIB:.9f} GiB of context"]
    if setup.ranks > 1:
        terms.append(f"{_gib(COMMUNICATION.expected)} of communication")
        context += COMMUNICATION.expected
    terms.append(f"{_gib(max(0.0, size - context))} of blocks without use")
    formula = "CUDA context + communication + blocks that the allocator holds without use"
    return Line("overhead", formula, f"{' + '.join(terms)} = {_gib(size)}")


def _run(result: Estimate) -> list[Line]:
    """Steps, time, money, energy and carbon."""
    setup, speed, cost, device = result.setup, result.throughput, result.cost, result.accelerator
    step, seconds = speed.step_seconds.expected, result.duration_seconds.expected
    shares = ", ".join(f"{name} {share:.3g} s" for name, share in speed.parts.items() if share)
    lines = [
        Line(
            "steps",
            "⌈epochs × ⌈sequences / effective batch⌉ × passes⌉",
            f"{result.steps.numbers} = {result.steps.steps.expected:,.0f} steps",
        ),
        Line(
            "step",
            "accumulation × pass + update; a pass is max(products + attention + memory + unpacking, "
            "dispatch) + communication; drawing answers where the stage does",
            f"{setup.accumulation} × {speed.pass_seconds:.6g} s + {speed.update_seconds:.6g} s "
            f"{f'+ {speed.drawing_seconds:.6g} s ' if speed.drawing_seconds else ''}"
            f"= {step:.6g} s (a pass: {shares}; {speed.flops_per_token / 1e9:.2f} GFLOP per token; "
            f"held up by {speed.bound})",
        ),
        Line(
            "time",
            "steps × step",
            f"{result.steps.steps.expected:,.0f} × {step:.6g} s = {seconds:,.2f} s",
        ),
    ]
    if cost.usd is not None and device.price is not None:
        price = device.price.usd_per_hour
        lines.append(
            Line(
                "cost",
                "devices × hours × price",
                f"{setup.ranks} × {seconds:,.2f} / 3600 × {price:g} $ = {cost.usd.expected:,.6f} $",
            )
        )
    load, host = LOAD.expected, HOST_WATTS.expected
    return [
        *lines,
        Line(
            "energy",
            "devices × (load × board power + host power) × PUE × time",
            f"{setup.ranks} × ({load:g} × {device.watts:g} W + {host:g} W) × {cost.pue:g} "
            f"× {seconds:,.2f} s / {JOULES_PER_KWH:,.0f} = {cost.energy_kwh.expected:.6g} kWh",
        ),
        Line(
            "carbon",
            "energy × grid intensity",
            f"{cost.energy_kwh.expected:.6g} kWh × {cost.grams_per_kwh:g} g "
            f"= {cost.carbon_grams.expected:,.3f} g CO2",
        ),
    ]


def _gib(value: float) -> str:
    return f"{value / GIB:.4f} GiB"
