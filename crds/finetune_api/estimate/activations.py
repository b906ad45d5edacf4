"""Activations: what a forward pass keeps for the backward pass, tensor by tensor.

Counted in the modelling code of transformers 5.23 (Llama and its relatives, GPT-2, Phi) and checked there
with `torch.autograd.graph.saved_tensors_hooks`, to the byte. Korthikanti et al. 2022 (arXiv 2205.05198)
count the same for GPT with 16-bit residuals and dropout: s·b·h·(34 + 5·a·s/h).

All results are bytes per token of one transformer layer, unless they say otherwise.
"""

from finetune_api.estimate.parameters import ParameterCounts
from finetune_api.estimate.setup import Setup


def layer_input(setup: Setup) -> float:
    """The residual stream at a layer's entry: all that full checkpointing keeps of the layer."""
    return setup.residual_bytes * setup.architecture.hidden


def layer_activations(setup: Setup, counts: ParameterCounts, length: int) -> float:
    """Everything that one layer keeps without checkpointing."""
    return (
        _norms(setup, counts)
        + _attention(setup, length)
        + _feed_forward(setup)
        + _linear_inputs(setup, counts)
    )


def backward_gradients(setup: Setup) -> float:
    """Gradients of activations that are alive at once inside one layer's backward pass: three as wide as the
    feed-forward layer (product, activation, up) and one of the residual stream."""
    architecture = setup.architecture
    wide = 3 if architecture.structure.gated else 2
    return (
        setup.compute_bytes * wide * _feed_forward_width(setup) + setup.residual_bytes * architecture.hidden
    )


def logits(setup: Setup) -> float:
    """Bytes per token around the loss: 12 per word of the vocabulary at the backward pass of the
    cross-entropy in fp32 (its log-softmax, its gradient, and the gradient of the logits), beside nothing of
    the 16-bit logits themselves. A fused loss holds blocks of them only, which count as buffers."""
    return 0.0 if setup.fused_loss else 12.0 * setup.architecture.vocabulary


def _norms(setup: Setup, counts: ParameterCounts) -> float:
    """Per normalisation over the residual stream: its fp32 input, and its normalised value where its weight
    is trained (LayerNorm keeps only its input)."""
    architecture, family = setup.architecture, setup.architecture.structure
    if family.norm_bias:
        return family.norms_per_layer * setup.residual_bytes * architecture.hidden
    statistics = 4
    trained = setup.residual_bytes if counts.trained_model else 0
    norms = family.norms_per_layer * ((4 + trained) * architecture.hidden + statistics)
    if not family.query_key_norm:
        return norms
    trained = setup.compute_bytes if counts.trained_model else 0
    heads = architecture.heads + architecture.key_value_heads
    return norms + heads * ((4 + trained) * architecture.head_size + statistics)


def _attention(setup: Setup, length: int) -> float:
    """Fused kernels (flash, memory-efficient) keep queries, keys, values, output and one fp32 per head. The
    eager one adds the scores: their fp32 softmax and its copy in the arithmetic's type."""
    architecture, size = setup.architecture, setup.compute_bytes
    kept = size * (2 * architecture.query_width + 2 * architecture.key_value_width) + 4 * architecture.heads
    scores = (4 + size) * architecture.heads * length if setup.eager_attention else 0
    return kept + scores


def _feed_forward(setup: Setup) -> float:
    """Input of the activation function, its output and, where gated, the other factor of the product."""
    tensors = 3 if setup.architecture.structure.gated else 1
    return tensors * setup.compute_bytes * _feed_forward_width(setup)


def _linear_inputs(setup: Setup, counts: ParameterCounts) -> float:
    """Inputs of linear layers whose weights, or whose adapters' weights, are trained."""
    architecture, size = setup.architecture, setup.compute_bytes
    width = _feed_forward_width(setup)
    if counts.trained_model:
        # Attention's and the feed-forward layer's input; the output projection's is the attention's output.
        casts = sum(linear.inputs == architecture.hidden for linear in architecture.linears)
        casts -= architecture.query_width == architecture.hidden
        inputs = casts if setup.autocast else 2
        share = min(1.0, counts.trained_model / (architecture.layers * architecture.layer_parameters))
        return share * size * (inputs * architecture.hidden + width)
    # PEFT casts (and drops out) the input once for each adapter: a copy, and a mask of one byte.
    dropout = 1 if setup.method.lora.dropout else 0
    per_layer = 0.0
    for target in counts.targets:
        linear = target.linear
        kept = (size + dropout) * linear.inputs + size * setup.method.lora.rank
        if setup.method.type == "dora":
            # Output of the base and of the adapter, which the magnitude multiplies.
            kept += 2 * size * linear.outputs
        per_layer += kept * target.layers / architecture.layers
    return per_layer


def _feed_forward_width(setup: Setup) -> float:
    """Channels that one token passes in the feed-forward layer: those of all experts that it is sent to."""
    return setup.architecture.feed_forward * setup.architecture.active_experts
