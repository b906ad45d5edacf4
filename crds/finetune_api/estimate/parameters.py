"""How many weights a method trains, freezes and quantizes."""

from dataclasses import dataclass
from typing import Final

from finetune_api.catalog import Architecture, Linear
from finetune_api.estimate.setup import Setup, is_embedding
from finetune_api.method import ALL_LINEAR, FreezeSpec, LoraSpec, SpectrumSpec

HEAD: Final = "lm_head"
"""Name of the output embedding."""


@dataclass(frozen=True)
class Target:
    """A linear layer that gets adapters, in so many transformer layers."""

    linear: Linear
    layers: int


@dataclass(frozen=True)
class ParameterCounts:
    """Numbers of weights of one model under one method."""

    model: int
    """Weights of the model itself."""
    quantized: int
    """Of these, held in 8 or 4 bit."""
    trained_model: int
    """Of the model's own weights, those that are trained."""
    adapters: int
    """Weights of adapters; all are trained."""
    saved_modules: int
    """Copies of whole modules (lora.modulesToSave) that are trained beside the frozen original."""
    targets: tuple[Target, ...]

    @property
    def added(self) -> int:
        """Trained weights that are not the model's own."""
        return self.adapters + self.saved_modules

    @property
    def trained(self) -> int:
        """All weights that are trained."""
        return self.trained_model + self.added


def count_parameters(setup: Setup) -> ParameterCounts:
    """The weights of a setup, by what happens to them."""
    architecture, method = setup.architecture, setup.method
    quantized = 0
    if setup.quantization.type != "none":
        skipped = set(setup.quantization.skip_modules)
        kept = [linear for linear in architecture.linears if linear.name not in skipped]
        quantized = architecture.layers * sum(linear.weights for linear in kept)
    targets = lora_targets(architecture, method.lora) if method.uses_adapters else ()
    magnitudes = method.type == "dora"
    rank = method.lora.rank
    adapters = sum(
        target.layers
        * (
            rank * (target.linear.inputs + target.linear.outputs)
            + (target.linear.outputs if magnitudes else 0)
        )
        for target in targets
    )
    if method.uses_adapters and _adapts_experts(architecture, method.lora):
        adapters += architecture.layers * _expert_adapters(architecture, rank)
    return ParameterCounts(
        model=architecture.parameters,
        quantized=quantized,
        trained_model=0 if method.uses_adapters else _trained_model(setup),
        adapters=adapters,
        saved_modules=_saved_modules(architecture, method.lora) if method.uses_adapters else 0,
        targets=targets,
    )


def lora_targets(architecture: Architecture, lora: LoraSpec) -> tuple[Target, ...]:
    """The linear layers that PEFT would give adapters, by targetModules; all of them for a targetPattern,
    since a stranger's regular expression may take for ever to match and is never run here."""
    layers = len(lora.layers_to_transform) or architecture.layers
    if lora.target_pattern is not None or ALL_LINEAR in lora.target_modules:
        chosen = list(architecture.linears)
    else:
        names = {name.rpartition(".")[2] for name in lora.target_modules}
        chosen = [linear for linear in architecture.linears if linear.name in names]
    return tuple(Target(linear, min(layers, architecture.layers)) for linear in chosen)


def _adapts_experts(architecture: Architecture, lora: LoraSpec) -> bool:
    everything = lora.target_pattern is None and ALL_LINEAR in lora.target_modules
    return architecture.structure.fused_experts and everything


def _expert_adapters(architecture: Architecture, rank: int) -> int:
    """Weights of one layer's adapters of experts that are one parameter, and of their router: PEFT gives the
    two projections that are one in transformers 5, gate and up, twice the rank."""
    hidden, width, experts = architecture.hidden, architecture.feed_forward, architecture.experts
    of_one = 2 * rank * (hidden + 2 * width) + rank * (width + hidden)
    return experts * of_one + rank * (hidden + experts)


def _saved_modules(architecture: Architecture, lora: LoraSpec) -> int:
    """Copies of embeddings; of tied ones, which the trainer keeps tied, there is one."""
    names = {name.rpartition(".")[2] for name in lora.modules_to_save}
    inputs = architecture.embedding_parameters if names & {"embed_tokens", "wte"} else 0
    outputs = architecture.vocabulary * architecture.hidden if HEAD in names else 0
    return max(inputs, outputs) if architecture.tied else inputs + outputs


def trains_head(setup: Setup, counts: ParameterCounts) -> bool:
    """Whether the output embedding, or a copy of it, gets gradients."""
    architecture, method = setup.architecture, setup.method
    if counts.trained_model >= architecture.parameters:
        return True
    named = method.lora.modules_to_save if method.uses_adapters else []
    if method.type == "freeze" and method.freeze is not None:
        named = method.freeze.extra_modules
    trained = {name.rpartition(".")[2] for name in named}
    return HEAD in trained or (architecture.tied and any(is_embedding(name) for name in trained))


def _trained_model(setup: Setup) -> int:
    architecture, method = setup.architecture, setup.method
    if method.type == "freeze":
        freeze = method.freeze or FreezeSpec()
        layers = min(len(freeze.layers) or freeze.trainable_layers, architecture.layers)
        extra = sum(
            architecture.embedding_parameters
            if is_embedding(name)
            else architecture.vocabulary * architecture.hidden
            for name in freeze.extra_modules
        )
        return layers * architecture.layer_parameters + extra
    if method.type == "spectrum":
        spectrum = method.spectrum or SpectrumSpec()
        # Of each type of module, so many layers: at least one.
        layers = len(spectrum.layers) or max(1, round(spectrum.top_fraction * architecture.layers))
        return min(layers, architecture.layers) * architecture.linear_weights // architecture.layers
    return architecture.parameters


def layers_with_gradients(setup: Setup) -> int:
    """How many of the layers take part in the backward pass: those from the lowest trained one to the last.
    Layers below keep nothing. With adapters under checkpointing PEFT asks for the embeddings' gradient, and
    so all take part."""
    architecture, method = setup.architecture, setup.method
    lowest = 0
    if method.type == "freeze":
        freeze = method.freeze or FreezeSpec()
        if freeze.layers:
            lowest = min(freeze.layers)
        elif freeze.from_layer == "last":
            lowest = architecture.layers - freeze.trainable_layers
        if any(is_embedding(name) for name in freeze.extra_modules):
            lowest = 0
    elif method.type == "spectrum" and method.spectrum is not None:
        lowest = min(method.spectrum.layers, default=0)
    elif method.uses_adapters and not setup.checkpointing:
        lowest = min(method.lora.layers_to_transform, default=0)
        if any(is_embedding(name) for name in method.lora.modules_to_save):
            lowest = 0
    return architecture.layers - min(max(0, lowest), architecture.layers - 1)


def trained_share(setup: Setup, counts: ParameterCounts) -> float:
    """Share of the weights that are trained, in the layers that take part in the backward pass."""
    architecture, layers = setup.architecture, layers_with_gradients(setup)
    if setup.method.type == "freeze":
        freeze = setup.method.freeze or FreezeSpec()
        return min(1.0, (len(freeze.layers) or freeze.trainable_layers) / layers)
    return min(1.0, counts.trained_model / (layers * architecture.layer_parameters))
