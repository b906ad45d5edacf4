"""Each formula of an estimate, with the numbers that went in."""

from dataclasses import dataclass

from finetune_api.estimate.activations import backward_gradients, layer_activations, layer_input, logits
from finetune_api.estimate.estimate import Estimate
from finetune_api.estimate.memory import GIB, quantized_bytes
from finetune_api.estimate.parameters import count_parameters, layers_with_gradients


@dataclass(frozen=True)
class Line:
    """One figure: its name, its formula in words, and the formula with numbers."""

    name: str
    formula: str
    numbers: str


def explain(result: Estimate) -> list[Line]:
    """The formulas behind an estimate, in the order of its parts; sources are in docs/estimates.md."""
    setup, parts, counts = result.setup, result.memory.parts, count_parameters(result.setup)
    tokens = setup.sequences * setup.length
    layers = layers_with_gradients(setup)
    stage = f"ZeRO-{setup.zero_stage} over {setup.ranks}" if setup.deepspeed else "not shared out"
    quantized = (
        f"{counts.quantized:,} × {quantized_bytes(setup):.4f} B quantized + " if counts.quantized else ""
    )
    plain = counts.model - counts.quantized
    layer = layer_activations(setup, counts, setup.length)
    kept = layer_input(setup) if setup.checkpointing else layer
    speed, time = result.throughput, result.duration_seconds
    return [
        Line(
            "weights",
            "quantized weights and their constants + other weights + adapters",
            f"{quantized}{plain:,} × {setup.weight_bytes} B + {counts.added:,} added, {stage} "
            f"= {_gib(parts.weights)}",
        ),
        Line(
            "gradients",
            "trained weights × bytes",
            f"{counts.trained:,} trained, {stage} = {_gib(parts.gradients)}",
        ),
        Line(
            "optimizer",
            "trained weights × bytes of the optimizer's states (and fp32 originals under DeepSpeed)",
            f"{counts.trained:,} trained, {setup.optimizer}, {stage} = {_gib(parts.optimizer)}",
        ),
        Line(
            "activations",
            "tokens × (layers × bytes kept per layer + bytes inside one layer's backward pass)",
            f"{tokens:,} tokens × ({layers} × {kept:,.0f} B + up to {layer:,.0f} + "
            f"{backward_gradients(setup):,.0f} B) = {_gib(parts.activations)} at the peak",
        ),
        Line(
            "logits",
            "tokens × 12 B × vocabulary, at the loss",
            f"{tokens:,} × {logits(setup):,.0f} B = {_gib(parts.logits)} at the peak",
        ),
        Line("buffers", "copies, buckets and gathered weights; see docs/estimates.md", _gib(parts.buffers)),
        Line(
            "overhead",
            "CUDA context + communication + blocks that the allocator holds without use",
            _gib(parts.overhead),
        ),
        Line(
            "time",
            "steps × (accumulation × (max(products + attention + memory + unpacking, dispatch) "
            "+ communication) + update)",
            f"{result.steps.steps.expected:,.0f} steps × {speed.step_seconds.expected:.3f} s, "
            f"{speed.flops_per_token / 1e9:.2f} GFLOP per token, a pass's "
            f"{', '.join(f'{name} {seconds:.3g} s' for name, seconds in speed.parts.items() if seconds)}, "
            f"held up by {speed.bound} = {time.expected:,.0f} s",
        ),
        Line(
            "energy",
            "devices × (load × board power + host power) × PUE × time",
            f"{setup.ranks} × {result.accelerator.watts:.0f} W board "
            f"= {result.cost.energy_kwh.expected:.3f} kWh",
        ),
        Line("carbon", "energy × grid intensity", f"{result.cost.carbon_grams.expected:,.0f} g CO2"),
    ]


def _gib(value: float) -> str:
    return f"{value / GIB:.2f} GiB"
