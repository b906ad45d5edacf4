"""The numbers of a decoder-only transformer, and what follows from them: shapes and parameter counts."""

from dataclasses import dataclass
from functools import cached_property

from finetune_api.catalog.families import FAMILIES, Family


@dataclass(frozen=True)
class Linear:
    """A linear layer of every transformer layer."""

    name: str
    inputs: int
    outputs: int
    bias: bool = False

    @property
    def weights(self) -> int:
        """Parameters of the matrix, without the bias."""
        return self.inputs * self.outputs

    @property
    def parameters(self) -> int:
        """Parameters of the matrix and the bias."""
        return self.weights + (self.outputs if self.bias else 0)


@dataclass(frozen=True)
class Architecture:
    """A decoder-only transformer by its numbers.

    Widths are in channels, context is in tokens. `feed_forward` is the width of one expert where there are
    several. The same type stands for models of the catalog and for `model.config`.
    """

    family: str
    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    head_size: int
    feed_forward: int
    vocabulary: int
    context: int
    tied: bool = False
    experts: int = 1
    active_experts: int = 1

    @property
    def structure(self) -> Family:
        """What the family says beyond the numbers."""
        return FAMILIES[self.family]

    @property
    def query_width(self) -> int:
        """Channels of all query heads together."""
        return self.heads * self.head_size

    @property
    def key_value_width(self) -> int:
        """Channels of all key heads together; values have as many."""
        return self.key_value_heads * self.head_size

    @cached_property
    def attention_linears(self) -> tuple[Linear, ...]:
        """The linear layers of one layer's attention."""
        family = self.structure
        bias = family.query_key_value_bias
        if family.fused_qkv:
            projections: tuple[Linear, ...] = (
                Linear(family.fused_qkv, self.hidden, self.query_width + 2 * self.key_value_width, bias),
            )
        else:
            projections = (
                Linear("q_proj", self.hidden, self.query_width, bias),
                Linear("k_proj", self.hidden, self.key_value_width, bias),
                Linear("v_proj", self.hidden, self.key_value_width, bias),
            )
        return (*projections, Linear(family.output_name, self.query_width, self.hidden, family.output_bias))

    @cached_property
    def feed_forward_linears(self) -> tuple[Linear, ...]:
        """The linear layers of one feed-forward block, or of one expert."""
        family, bias = self.structure, self.structure.feed_forward_bias
        down = Linear(family.down_name, self.feed_forward, self.hidden, bias)
        if family.fused_gate_up:
            return (Linear(family.fused_gate_up, self.hidden, 2 * self.feed_forward, bias), down)
        up = Linear(family.up_name, self.hidden, self.feed_forward, bias)
        gate = (Linear("gate_proj", self.hidden, self.feed_forward, bias),) if family.gated else ()
        return (*gate, up, down)

    @cached_property
    def linears(self) -> tuple[Linear, ...]:
        """The linear layers of one transformer layer that adapters and quantization can reach."""
        if self.structure.fused_experts:
            return self.attention_linears
        return (*self.attention_linears, *self.feed_forward_linears)

    @property
    def feed_forward_parameters(self) -> int:
        """Parameters of one layer's feed-forward block: all experts and their router."""
        block = sum(linear.parameters for linear in self.feed_forward_linears)
        return self.experts * block + (self.hidden * self.experts if self.experts > 1 else 0)

    @property
    def norm_parameters(self) -> int:
        """Parameters of one layer's normalisations."""
        family = self.structure
        per_norm = self.hidden * (2 if family.norm_bias else 1)
        return family.norms_per_layer * per_norm + (2 * self.head_size if family.query_key_norm else 0)

    @property
    def layer_parameters(self) -> int:
        """Parameters of one transformer layer."""
        attention = sum(linear.parameters for linear in self.attention_linears)
        return attention + self.feed_forward_parameters + self.norm_parameters

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the input embedding, with learned positions."""
        positions = self.context if self.structure.learned_positions else 0
        return (self.vocabulary + positions) * self.hidden

    @property
    def head_parameters(self) -> int:
        """Parameters of an output embedding of its own; 0 where it shares the input's."""
        if self.tied:
            return 0
        return self.vocabulary * self.hidden + (self.vocabulary if self.structure.head_bias else 0)

    @property
    def parameters(self) -> int:
        """All parameters."""
        final_norm = self.hidden * (2 if self.structure.norm_bias else 1)
        return (
            self.embedding_parameters
            + self.layers * self.layer_parameters
            + final_norm
            + self.head_parameters
        )

    @property
    def linear_weights(self) -> int:
        """Weights of all layers' linear layers that can be quantized."""
        return self.layers * sum(linear.weights for linear in self.linears)

    @property
    def matmul_parameters(self) -> int:
        """Parameters that multiply each token: every linear layer it passes (only its own experts) and the
        output embedding, but no input embedding and no norm. The N of FLOPs = 6·N per token."""
        attention = sum(linear.weights for linear in self.attention_linears)
        block = sum(linear.weights for linear in self.feed_forward_linears)
        router = self.hidden * self.experts if self.experts > 1 else 0
        per_layer = attention + self.active_experts * block + router
        return self.layers * per_layer + self.vocabulary * self.hidden
