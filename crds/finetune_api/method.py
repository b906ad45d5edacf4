"""`spec.method`: which weights are trained."""

from typing import Annotated, Literal

from pydantic import Field

from finetune_api.base import ApiModel, Integer

ModuleName = Annotated[str, Field(min_length=1, max_length=128)]
Pattern = Annotated[str, Field(min_length=1, max_length=512)]
LayerIndex = Annotated[Integer, Field(ge=0, le=4095)]

ALL_LINEAR = "all-linear"


class LoraSpec(ApiModel):
    """Low-rank adapters; also the basis of qlora, dora, pissa and rslora."""

    rank: Annotated[Integer, Field(ge=1, le=4096)] = Field(
        default=16, description="Rank of the adapter matrices: more rank, more capacity and more memory."
    )
    alpha: Annotated[float, Field(gt=0, le=65536)] = Field(
        default=32.0,
        description="Scale of the adapter: its output is multiplied by alpha / rank "
        "(by alpha / √rank when rankStabilized).",
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.05, description="Dropout on the adapter's input."
    )
    target_modules: Annotated[list[ModuleName], Field(min_length=1, max_length=64)] = Field(
        default=[ALL_LINEAR],
        description="Names of the modules that get an adapter (q_proj, v_proj, …); "
        "[all-linear] means every linear layer but the output embedding.",
    )
    target_pattern: Pattern | None = Field(
        default=None, description="Regular expression over full module names; replaces targetModules."
    )
    bias: Literal["none", "all", "loraOnly"] = Field(
        default="none", description="Which biases are trained: none, all, or those of adapted modules."
    )
    modules_to_save: Annotated[list[ModuleName], Field(max_length=16)] = Field(
        default=[],
        description="Modules trained in full and saved with the adapter, such as lm_head or embed_tokens.",
    )
    layers_to_transform: Annotated[list[LayerIndex], Field(max_length=512)] = Field(
        default=[], description="Indices of the layers that get adapters; all when empty."
    )
    layers_pattern: ModuleName | None = Field(
        default=None,
        description="Name of the list of layers in the model, for layersToTransform, where it "
        "can't be guessed.",
    )
    rank_stabilized: bool = Field(
        default=False, description="rsLoRA: scales by alpha / √rank, so that high ranks keep learning."
    )
    initialization: Literal["auto", "default", "gaussian", "pissa", "olora", "loftq", "eva", "orthogonal"] = (
        Field(default="auto", description="How adapters start; auto follows method.type.")
    )
    pissa_iterations: Annotated[Integer, Field(ge=0, le=256)] = Field(
        default=16,
        description="Iterations of the fast singular value decomposition for PiSSA; 0 computes it exactly.",
    )
    learning_rate_ratio: Annotated[float, Field(ge=1, le=1000)] | None = Field(
        default=None, description="LoRA+: learning rate of the B matrices divided by that of the A matrices."
    )
    embedding_learning_rate: Annotated[float, Field(gt=0, le=10)] | None = Field(
        default=None, description="LoRA+: learning rate of adapted embeddings; needs learningRateRatio."
    )
    task_type: Literal["auto", "causalLm", "sequenceClassification"] = Field(
        default="auto", description="What the adapted model computes; auto follows training.stage."
    )


class FreezeSpec(ApiModel):
    """Trains some layers in full and freezes the others."""

    trainable_layers: Annotated[Integer, Field(ge=1, le=512)] = Field(
        default=2, description="Number of layers that are trained, counted as fromLayer says."
    )
    from_layer: Literal["last", "first"] = Field(
        default="last", description="Which end of the model trainableLayers counts from."
    )
    layers: Annotated[list[LayerIndex], Field(max_length=512)] = Field(
        default=[], description="Indices of the trained layers; replaces trainableLayers."
    )
    module_patterns: Annotated[list[Pattern], Field(max_length=64)] = Field(
        default=[],
        description="Regular expressions over parameter names within those layers; all "
        "parameters when empty.",
    )
    extra_modules: Annotated[list[ModuleName], Field(max_length=16)] = Field(
        default=[], description="Modules outside the layers that are trained too (embed_tokens, …)."
    )


class SpectrumSpec(ApiModel):
    """Trains, per type of module, the layers whose weights have the highest signal-to-noise ratio."""

    top_fraction: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.5, description="Share of the layers that is trained, for each type of module."
    )
    layers: Annotated[list[LayerIndex], Field(max_length=512)] = Field(
        default=[], description="Indices of the trained layers; measured on the weights when empty."
    )
    module_patterns: Annotated[list[Pattern], Field(max_length=64)] = Field(
        default=[], description="Types of modules that are ranked; every linear one when empty."
    )


class MethodSpec(ApiModel):
    """Which weights are trained, and how."""

    type: Literal["full", "freeze", "lora", "qlora", "dora", "pissa", "rslora", "spectrum"] = Field(
        default="lora",
        description="full: every weight. freeze: some layers. lora: low-rank adapters. "
        "qlora: adapters on a 4-bit base. dora: adapters with magnitudes apart. "
        "pissa: adapters that start as the principal singular vectors. "
        "rslora: adapters scaled by the root of the rank. spectrum: the layers with the most signal.",
    )
    lora: LoraSpec = Field(
        default={}, validate_default=True, description="Settings for lora, qlora, dora, pissa and rslora."
    )
    freeze: FreezeSpec | None = Field(default=None, description="Settings for freeze.")
    spectrum: SpectrumSpec | None = Field(default=None, description="Settings for spectrum.")

    @property
    def starts_at_base(self) -> bool:
        """Whether the model without its adapters is the base: not where adapters start from the base's own
        weights, nor where biases of the base are trained beside them."""
        lora = self.lora
        return (
            self.uses_adapters
            and self.type != "pissa"
            and lora.initialization in ("auto", "default", "gaussian", "eva", "orthogonal")
            and lora.bias == "none"
        )

    @property
    def uses_adapters(self) -> bool:
        """Whether the run trains adapters on a frozen base (rather than weights of the model itself)."""
        return self.type in {"lora", "qlora", "dora", "pissa", "rslora"}
