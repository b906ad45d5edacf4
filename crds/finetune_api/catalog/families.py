"""Decoder families: what an architecture's numbers do not say (biases, norms, how layers are built).

Read from the modelling files of transformers 5.23; a slow test builds each model of the catalog there, on the
meta device, and compares every parameter count.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Family:
    """The structure that all models of a family share."""

    name: str
    gated: bool = True
    """Whether the feed-forward layer multiplies two projections (SwiGLU, GeGLU)."""
    fused_qkv: str | None = None
    """Name of the one projection to queries, keys and values; None where there are three."""
    fused_gate_up: str | None = None
    """Name of the one projection to gate and up; None where there are two."""
    output_name: str = "o_proj"
    up_name: str = "up_proj"
    down_name: str = "down_proj"
    query_key_value_bias: bool = False
    output_bias: bool = False
    feed_forward_bias: bool = False
    head_bias: bool = False
    norms_per_layer: int = 2
    norm_bias: bool = False
    """LayerNorm (weight and bias) rather than RMSNorm (weight)."""
    query_key_norm: bool = False
    learned_positions: bool = False
    stepwise_activation: bool = False
    """Whether the activation is `gelu_new`, which transformers writes as eight operations."""
    residual_dropout: bool = False
    """Whether dropout, where it is on, also drops what a layer adds to the residual stream."""
    published_dropout: bool = False
    """Whether its published models have dropout in attention and elsewhere (GPT-2's: 0.1)."""
    fused_kernels: bool = True
    """Whether Liger has kernels for it."""
    fused_experts: bool = False
    """Whether experts are one three-dimensional parameter rather than linear layers, as in transformers 5:
    such weights are not quantized, and the adapters that all-linear gives them have no dropout."""


FAMILIES: Final[dict[str, Family]] = {
    family.name: family
    for family in (
        Family("llama"),
        Family("mistral"),
        Family("mixtral", fused_experts=True),
        Family("qwen2", query_key_value_bias=True),
        # Qwen's first models run code of their own; here for the measurements that were made with it.
        Family(
            "qwen",
            fused_qkv="c_attn",
            output_name="c_proj",
            up_name="w1",
            down_name="c_proj",
            query_key_value_bias=True,
            fused_kernels=False,
        ),
        Family("qwen3", query_key_norm=True),
        Family("qwen3_moe", query_key_norm=True, fused_experts=True),
        Family("gemma"),
        Family("gemma2", norms_per_layer=4),
        Family("gemma3", norms_per_layer=4, query_key_norm=True),
        Family(
            "phi",
            gated=False,
            output_name="dense",
            up_name="fc1",
            down_name="fc2",
            query_key_value_bias=True,
            output_bias=True,
            feed_forward_bias=True,
            head_bias=True,
            norms_per_layer=1,
            norm_bias=True,
            stepwise_activation=True,
            fused_kernels=False,
        ),
        Family("phi3", fused_qkv="qkv_proj", fused_gate_up="gate_up_proj"),
        Family(
            "gpt2",
            gated=False,
            fused_qkv="c_attn",
            output_name="c_proj",
            up_name="c_fc",
            down_name="c_proj",
            query_key_value_bias=True,
            output_bias=True,
            feed_forward_bias=True,
            norm_bias=True,
            learned_positions=True,
            residual_dropout=True,
            published_dropout=True,
            stepwise_activation=True,
            fused_kernels=False,
        ),
    )
}
