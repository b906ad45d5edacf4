"""What a pass makes the device do: matrix products, attention, and bytes that cross the memory bus.

Counted operation by operation in the modelling code of transformers 5.23 (Llama and its relatives) and in
PEFT's layers, as eager PyTorch runs them: each operation is a kernel of its own, which reads its inputs from
memory and writes its result there. A device works through them one after the other, so that their times add
up (the roofline of Williams et al. 2009, per kernel).

All results are per token and per transformer layer, unless they say otherwise.
"""

from dataclasses import dataclass, fields

from finetune_api.estimate.parameters import (
    ParameterCounts,
    layers_with_gradients,
    trained_share,
    trains_head,
)
from finetune_api.estimate.setup import Setup


@dataclass(frozen=True)
class Work:
    """Floating-point operations by where they run, and bytes that elementwise operations move."""

    products: float = 0.0
    """Operations of matrix products in the arithmetic's type."""
    wide_products: float = 0.0
    """Operations of matrix products in fp32 beside a narrower arithmetic."""
    attention: float = 0.0
    """Operations inside fused attention kernels, in the arithmetic's type."""
    wide_attention: float = 0.0
    """The same in fp32 beside a narrower arithmetic."""
    moved: float = 0.0
    """Bytes read and written by everything that is no product."""

    def __add__(self, other: "Work") -> "Work":
        """Both, one after the other."""
        return Work(*(getattr(self, it.name) + getattr(other, it.name) for it in fields(self)))

    def __mul__(self, factor: float) -> "Work":
        """This, so many times."""
        return Work(*(factor * getattr(self, it.name) for it in fields(self)))

    @property
    def operations(self) -> float:
        """All floating-point operations."""
        return self.products + self.wide_products + self.attention + self.wide_attention


def pass_work(setup: Setup, counts: ParameterCounts, length: float) -> Work:
    """One token's way through the whole model and back, recomputation included."""
    forward = base_forward(setup) + adapters_forward(setup, counts) + attention_forward(setup, length)
    backward = layer_backward(setup, counts, length) + forward * (1 if setup.checkpointing else 0)
    layers = forward * setup.architecture.layers + backward * layers_with_gradients(setup)
    extra = reference_forward(setup, length) * setup.extra_forwards
    return layers + head(setup, counts) + extra


def reference_forward(setup: Setup, length: float) -> Work:
    """One token's way through the whole model without gradients and adapters, and its log-probability."""
    layer = base_forward(setup) + attention_forward(setup, length)
    words, size = setup.architecture.vocabulary, setup.logit_bytes
    products = _products(setup, 2 * words * setup.architecture.hidden, size)
    logits = Work(moved=words * (2 * size + 2 * setup.program.loss_bytes))
    return layer * setup.architecture.layers + products + logits


def base_forward(setup: Setup) -> Work:
    """Everything of a layer but attention's core and adapters."""
    return Work(products=2 * _layer_weights(setup), moved=_elementwise(setup))


def layer_backward(setup: Setup, counts: ParameterCounts, length: float) -> Work:
    """The gradient of each product's input, that of its weights where they are trained, and twice what the
    elementwise operations moved: each reads the gradient beside what it kept."""
    trained = trained_share(setup, counts)
    base = Work(products=2 * _layer_weights(setup) * (1 + trained), moved=2 * _elementwise(setup))
    return base + adapters_forward(setup, counts) * 2 + _attention_backward(setup, length)


def attention_forward(setup: Setup, length: float) -> Work:
    """Scores and their product with the values. Fused kernels leave out the masked half and move no scores;
    eager attention computes all, and moves them for the product, its scaling, the mask, the softmax in fp32,
    its copy in a narrower type and the second product."""
    architecture, size = setup.architecture, setup.attention_bytes
    width = architecture.query_width
    if setup.eager_attention:
        each = 7 * size + 4 + _cast_of_softmax(size) + _dropout(size) * setup.attention_dropout
        moved = each * architecture.heads * length
        return _products(setup, 4 * length * width, size) + Work(moved=moved)
    moved = size * 2 * (width + architecture.key_value_width)
    return _fused_attention(setup, 2 * length * width) + Work(moved=moved)


def _attention_backward(setup: Setup, length: float) -> Work:
    """Fused kernels compute the scores again: 2.5 times the forward pass (Dao et al. 2022). Eager ones move
    the gradient of the softmax, its product with the softmax in fp32, and the gradient of the scores."""
    architecture, size = setup.architecture, setup.attention_bytes
    forward = attention_forward(setup, length)
    if setup.eager_attention:
        each = 7 * size + 20 + _cast_of_softmax(size) + _dropout(size) * setup.attention_dropout
        moved = each * architecture.heads * length
        return Work(forward.products * 2, forward.wide_products * 2, moved=moved)
    return Work(
        attention=2.5 * forward.attention,
        wide_attention=2.5 * forward.wide_attention,
        moved=2 * forward.moved,
    )


def _cast_of_softmax(size: int) -> int:
    """Bytes per head and pair of tokens that turn the softmax, which is fp32, into the queries' type."""
    return 4 + size if size < 4 else 0


def _dropout(size: int) -> int:
    """Bytes per value that dropout moves: it reads one and writes another and a mask, or reads the gradient
    and the mask and writes a gradient."""
    return 2 * size + 1


def adapters_forward(setup: Setup, counts: ParameterCounts) -> Work:
    """Two products of each adapter, and around them: the cast of its input to the adapter's type, and again
    by autocast, dropout with its mask, the scaling, the sum with the base's result, and the cast back."""
    own, narrow, inner = setup.added_bytes, setup.compute_bytes, setup.inner_bytes
    adapter = narrow if setup.program.autocasting else own
    per_input = (inner + own) * (inner < own) + _dropout(own) * bool(setup.method.lora.dropout)
    per_input += (own + narrow) * (setup.casts_operations and own > narrow)
    per_output = 3 * adapter + inner + max(adapter, inner)
    per_output += (adapter + inner) * (adapter != inner)
    if setup.method.type == "dora":
        per_output += 5 * inner + 2 * adapter  # both results times their magnitudes, and their sum
    total = Work()
    for target in counts.targets:
        linear, share = target.linear, target.layers / setup.architecture.layers
        operations = 2 * setup.method.lora.rank * (linear.inputs + linear.outputs)
        moved = per_input * linear.inputs + per_output * linear.outputs
        total += (_products(setup, operations, adapter) + Work(moved=moved)) * share
    return total


def merged_bytes(setup: Setup, counts: ParameterCounts) -> float:
    """Bytes that DoRA moves in one forward pass for the norms of W + BA: BA is written, scaled, added to W
    and read again, in fp32, whatever the number of tokens. Its gradient is left out (Liu et al. 2024, DoRA,
    section 4.3)."""
    if setup.method.type != "dora":
        return 0.0
    each = 4 + 8 + (4 + setup.compute_bytes + 4) + 4
    return float(sum(each * target.linear.weights * target.layers for target in counts.targets))


def head(setup: Setup, counts: ParameterCounts) -> Work:
    """Per token of the whole model: the output embedding forward and backward, and the loss around its
    logits: upcast, log-softmax and its gradient, and the cast back."""
    words, size = setup.architecture.vocabulary, setup.logit_bytes
    passes = 3 if trains_head(setup, counts) else 2
    products = _products(setup, 2 * passes * words * setup.architecture.hidden, size)
    if setup.fused_loss:
        return products
    return products + Work(moved=words * (4 * size + 9 * setup.program.loss_bytes))


def _layer_weights(setup: Setup) -> float:
    """Weights of one layer that multiply a token: of experts, only those that it is sent to."""
    architecture = setup.architecture
    return (architecture.matmul_parameters - architecture.vocabulary * architecture.hidden) / max(
        1, architecture.layers
    )


def _products(setup: Setup, operations: float, size: int) -> Work:
    wide = size > setup.compute_bytes
    return Work(wide_products=operations) if wide else Work(products=operations)


def _fused_attention(setup: Setup, operations: float) -> Work:
    wide = setup.attention_bytes > setup.compute_bytes
    return Work(wide_attention=operations) if wide else Work(attention=operations)


def _elementwise(setup: Setup) -> float:
    """Bytes that a layer's forward pass moves outside of products, attention's core and adapters."""
    architecture, family = setup.architecture, setup.architecture.structure
    residual, size = setup.residual_bytes, setup.attention_bytes
    queries, keys = architecture.query_width, architecture.key_value_width
    moved = float(family.norms_per_layer * _norm(setup) * architecture.hidden)
    moved += 2 * 3 * residual * architecture.hidden  # two sums with the residual stream
    moved += 2 * _dropout(residual) * architecture.hidden * setup.residual_dropout
    moved += _activation(setup) * architecture.feed_forward * architecture.active_experts
    moved += 2 * size * queries  # attention's result, made contiguous
    if not family.learned_positions:
        # rotation: two products, a negation, a concatenation and a sum, or one kernel in place
        moved += (2 if setup.fused_layers else 10) * size * (queries + keys)
    if keys < queries:
        moved += 2 * size * (queries + keys)  # keys and values, repeated for all heads
    return moved + _casts(setup)


def _activation(setup: Setup) -> int:
    """Bytes per channel of the activation and, where gated, its product with the other factor: one kernel
    reads two tensors and writes one, two read three and write two. `gelu_new` is a power, its multiple, the
    sum with the input, a multiple, the tangent, the sum with one, half of the input, and a product."""
    inner, power = setup.inner_bytes, setup.power_bytes
    if setup.architecture.structure.gated:
        return inner * (3 if setup.fused_layers and setup.program.activation_fused else 5)
    if not setup.stepwise_activation:
        return 2 * inner
    casts = 2 * (inner + power) if power > inner else 0
    return 14 * power + 4 * inner + casts


def _norm(setup: Setup) -> int:
    """Bytes per channel of one normalisation. RMSNorm casts to fp32 and back around square, mean, product
    and weight, each a kernel; LayerNorm is one, and so is Liger's RMSNorm."""
    residual = setup.residual_bytes
    if setup.architecture.structure.norm_bias or setup.fused_layers:
        return 2 * residual
    return 28 + 4 * residual if residual < 4 else 28


def _casts(setup: Setup) -> float:
    """Casts of what products take and give: of both in bitsandbytes' layers between fp32 ones, of inputs
    alone under autocast, once for each product."""
    linears, narrow = setup.architecture.linears, setup.compute_bytes
    if setup.inner_bytes > narrow:
        return float(sum((4 + narrow) * (linear.inputs + linear.outputs) for linear in linears))
    if setup.autocast:
        hidden = setup.architecture.hidden
        return float(sum((4 + narrow) * hidden for linear in linears if linear.inputs == hidden))
    return 0.0
