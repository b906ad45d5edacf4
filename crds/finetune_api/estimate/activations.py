"""Activations: what a forward pass keeps for the backward pass, tensor by tensor.

Counted in the modelling code of transformers 5.23 (Llama and its relatives, GPT-2, Phi) and checked there
with `torch.autograd.graph.saved_tensors_hooks`, to the byte. Korthikanti et al. 2022 (arXiv 2205.05198)
count the same for GPT with 16-bit residuals and dropout: s·b·h·(34 + 5·a·s/h).

All results are bytes per token of one transformer layer, unless they say otherwise.
"""

from finetune_api.estimate.parameters import ParameterCounts, trained_share, trains_head
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
        + _residual_masks(setup)
    )


def layer_peak(setup: Setup, counts: ParameterCounts, length: int) -> float:
    """What one layer holds at the peak of its backward pass, its kept activations included: in that of the
    feed-forward block, or in that of eager attention, when the block's activations are gone."""
    kept = layer_activations(setup, counts, length)
    peaks = [kept + backward_gradients(setup)]
    if setup.eager_attention:
        rest = kept - _feed_forward(setup) - _kept_scores(setup, length)
        peaks.append(rest + _scores_backward(setup, length))
    return max(peaks)


def backward_gradients(setup: Setup) -> float:
    """Gradients of activations that are alive at once inside one layer's backward pass: three as wide as the
    feed-forward layer (product, activation, up) and one of the residual stream. Liger's kernel writes two of
    the three over what was kept; the steps of `gelu_new` need those of its product, half of its input and
    the other factor."""
    architecture = setup.architecture
    wide = setup.inner_bytes * (3 if architecture.structure.gated else 2)
    if _fused_activation(setup):
        wide = setup.inner_bytes
    elif setup.stepwise_activation:
        wide = 2 * setup.power_bytes + setup.inner_bytes
    return wide * _feed_forward_width(setup) + setup.residual_bytes * architecture.hidden


def logits(setup: Setup) -> float:
    """Bytes per token around the loss: 12 per word of the vocabulary at the backward pass of the
    cross-entropy in fp32 (its log-softmax, its gradient, and the gradient of the logits), beside the logits
    themselves where somebody holds them. A fused loss holds blocks of them only, which count as buffers."""
    if setup.fused_loss:
        return 0.0
    return 3.0 * setup.program.loss_bytes * setup.architecture.vocabulary + held_logits(setup)


def held_logits(setup: Setup) -> float:
    """Bytes per token of logits that are there until the backward pass has ended."""
    if setup.fused_loss or not setup.program.outputs_held:
        return 0.0
    size = 4 if setup.program.wide_outputs else setup.logit_bytes
    return float(size * setup.architecture.vocabulary)


def freed_logits(setup: Setup) -> float:
    """Bytes per token of 16-bit logits, and of their copy, that are gone when the loss needs fp32 ones, which
    are too large for their place."""
    if setup.fused_loss or setup.program.outputs_held or setup.logit_bytes >= setup.program.loss_bytes:
        return 0.0
    tensors = 2 if setup.program.shifted_logits else 1
    return float(tensors * setup.logit_bytes * setup.architecture.vocabulary)


def kept_beyond_pass(setup: Setup) -> float:
    """What a layer's quantized products hold until the next pass has run forward: the inputs of attention, of
    its output, and of the two steps of the feed-forward layer. Nothing with today's bitsandbytes."""
    program = setup.program
    if not (program.quantized_inputs_kept and program.graph_held) or setup.checkpointing:
        return 0.0
    architecture = setup.architecture
    inputs = 2 * architecture.hidden + architecture.query_width + _feed_forward_width(setup)
    return setup.compute_bytes * inputs


def head_inputs(setup: Setup, counts: ParameterCounts) -> float:
    """What the final normalisation and the output embedding keep: the one's input in fp32 (LayerNorm's and
    Liger's in its own type) and, where they are trained, its normalised value and the other's input."""
    residual = setup.residual_bytes
    one_kernel = setup.fused_layers or setup.architecture.structure.norm_bias
    kept = residual if one_kernel else 4
    if counts.trained_model >= setup.architecture.parameters and not setup.fused_layers:
        kept += residual
    if trains_head(setup, counts):
        kept += setup.compute_bytes if setup.casts_operations else residual
    return float(kept * setup.architecture.hidden)


def _norms(setup: Setup, counts: ParameterCounts) -> float:
    """Per normalisation over the residual stream: its fp32 input, and its normalised value where its weight
    is trained (LayerNorm keeps only its input and two statistics, and Liger's kernel its input in its own
    type)."""
    architecture, family = setup.architecture, setup.architecture.structure
    if family.norm_bias:
        return family.norms_per_layer * (setup.residual_bytes * architecture.hidden + 8)
    norms = family.norms_per_layer * _norm(setup, counts, setup.residual_bytes, architecture.hidden)
    if not family.query_key_norm:
        return norms
    heads = architecture.heads + architecture.key_value_heads
    return norms + heads * _norm(setup, counts, setup.compute_bytes, architecture.head_size)


def _norm(setup: Setup, counts: ParameterCounts, size: int, width: int) -> float:
    """One RMSNorm of so many channels of so many bytes, its statistics in fp32 included."""
    if setup.fused_layers:
        return size * width + 4
    return (4 + (size if counts.trained_model else 0)) * width + 4


def _attention(setup: Setup, length: int) -> float:
    """Fused kernels (flash, memory-efficient) keep queries, keys, values, output and one fp32 per head. The
    eager one adds the scores."""
    architecture, size = setup.architecture, setup.attention_bytes
    kept = size * (2 * architecture.query_width + 2 * architecture.key_value_width) + 4 * architecture.heads
    return kept + _kept_scores(setup, length)


def _kept_scores(setup: Setup, length: int) -> float:
    """Eager attention keeps the softmax in fp32, and its copy in the arithmetic's type. Dropout keeps a mask
    of one byte, and gives back a tensor of its own, also where the copy is the softmax itself."""
    if not setup.eager_attention:
        return 0.0
    copy = setup.attention_bytes if setup.attention_bytes < 4 or setup.attention_dropout else 0
    return float((4 + copy + setup.attention_dropout) * setup.architecture.heads * length)


def _scores_backward(setup: Setup, length: int) -> float:
    """The softmax, its gradient, the product of the two that torch's kernel makes, all in fp32, and the
    gradient of the scores."""
    return float((12 + setup.attention_bytes) * setup.architecture.heads * length)


def _feed_forward(setup: Setup) -> float:
    """Input of the activation function, its output and, where gated, the other factor of the product; Liger's
    kernel computes the output again. `gelu_new` keeps the input of its power, the tangent, and both factors
    of its last product: half of its input, and the tangent and one."""
    each = setup.inner_bytes * (3 if setup.architecture.structure.gated else 1)
    if _fused_activation(setup):
        each = 2 * setup.inner_bytes
    elif setup.stepwise_activation:
        each = 3 * setup.power_bytes + setup.inner_bytes
    return each * _feed_forward_width(setup)


def _residual_masks(setup: Setup) -> float:
    """Masks of one byte of the two dropouts before the sums with the residual stream."""
    return 2.0 * setup.architecture.hidden if setup.residual_dropout else 0.0


def _linear_inputs(setup: Setup, counts: ParameterCounts) -> float:
    """Inputs of linear layers whose weights, or whose adapters' weights, are trained."""
    architecture, size = setup.architecture, setup.compute_bytes
    width = _feed_forward_width(setup)
    if counts.trained_model:
        # Attention's and the feed-forward layer's input; the output projection's is the attention's output.
        casts = sum(linear.inputs == architecture.hidden for linear in architecture.linears)
        casts -= architecture.query_width == architecture.hidden
        inputs = casts if setup.autocast else 2
        return trained_share(setup, counts) * size * (inputs * architecture.hidden + width)
    adapter = _adapter_bytes(setup)
    # Attention's input and the feed-forward block's; the output projection's is the attention's output.
    bases = size * (2 * architecture.hidden + width) if setup.program.quantized_inputs_kept else 0.0
    ranks = sum(
        (
            adapter * setup.method.lora.rank
            # DoRA's magnitude multiplies the outputs of the base and of the adapter.
            + (2 * size * target.linear.outputs if setup.method.type == "dora" else 0)
        )
        * target.layers
        / architecture.layers
        for target in counts.targets
    )
    return bases + ranks + _adapter_inputs(setup, counts)


def _adapter_inputs(setup: Setup, counts: ParameterCounts) -> float:
    """Inputs of the adapters: a copy for each where PEFT casts or drops out (with a mask of one byte), else
    each distinct one once; the attention's output is counted there."""
    layers, adapter = setup.architecture.layers, _adapter_bytes(setup)
    dropout = 1 if setup.method.lora.dropout else 0
    if dropout or _adapters_cast(setup):
        return sum((adapter + dropout) * it.linear.inputs * it.layers / layers for it in counts.targets)
    attention = setup.architecture.attention_linears
    distinct = {
        (target.linear in attention, target.linear.inputs): target.layers / layers
        for target in counts.targets
        if target.linear != attention[-1]
    }
    return sum(adapter * inputs * share for (_, inputs), share in distinct.items())


def _adapter_bytes(setup: Setup) -> int:
    """Bytes of one channel inside an adapter: autocast's or DeepSpeed's type, else their own."""
    return setup.compute_bytes if setup.program.autocasting else setup.added_bytes


def _adapters_cast(setup: Setup) -> bool:
    """Whether the adapters' inputs have another type than the layers': always under autocast, which casts
    from the fp32 that PEFT makes; never in fp32, nor under DeepSpeed, which casts the adapters."""
    if setup.deepspeed or setup.compute_bytes == 4:
        return False
    return setup.program.autocasting or setup.inner_bytes < setup.added_bytes


def _fused_activation(setup: Setup) -> bool:
    """Whether one kernel computes the activation and its product with the other factor."""
    return setup.fused_layers and setup.program.activation_fused and setup.architecture.structure.gated


def _feed_forward_width(setup: Setup) -> float:
    """Channels that one token passes in the feed-forward layer: those of all experts that it is sent to."""
    return setup.architecture.feed_forward * setup.architecture.active_experts
