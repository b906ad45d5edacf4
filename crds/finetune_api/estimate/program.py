"""Habits of a training program that memory depends on, beside what the job says."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Program:
    """What a program does; the defaults are our trainer's, with transformers 5, PEFT 0.21, bitsandbytes 0.50.

    Others are there to compare with measurements of other programs (`docs/estimates.md`).
    """

    autocasting: bool = True
    """Whether the pass runs under torch.autocast, as in transformers' Trainer without DeepSpeed; a loop of
    one's own may leave it out."""
    outputs_held: bool = False
    """Whether the model's outputs, and so the logits, are still referred to in the backward pass;
    transformers' Trainer lets them go."""
    wide_outputs: bool = False
    """Whether the logits among the model's outputs are fp32, as in transformers before 4.45, rather than in
    the type that the output embedding gives them."""
    loss_bytes: int = 4
    """Bytes of one value in the loss: transformers computes it in fp32."""
    shifted_logits: bool = False
    """Whether the loss takes a copy of the logits that leaves out the last token, in the logits' own type;
    transformers shifts the labels instead."""
    quantized_inputs_kept: bool = False
    """Whether a quantized layer keeps its input for the backward pass, though its weight is frozen, as in
    bitsandbytes 0.41."""
    unpacked_kept: bool = False
    """Whether a quantized layer unpacks its matrix by torch's own operations, as AutoGPTQ's did for more than
    128 tokens: to 32-bit and 8-bit integers for a moment, and to 16 bit until its backward pass."""
    graph_held: bool = False
    """Whether a pass's loss or logits, and with them its graph, are referred to until the next pass has run
    forward. Autograd frees what it saved itself, but not what `quantized_inputs_kept` keeps:
    bitsandbytes 0.41 to 0.43.1 wrote it on the graph's nodes (`ctx.tensors`)."""
    longest_first: bool = False
    """Whether the longest record is trained on first, so that the peak comes before there are gradients and
    an optimizer's states."""
    narrow_adapters: bool = False
    """Whether adapters are held in the arithmetic's type; PEFT holds them in fp32."""
    wide_saved_modules: bool = True
    """Whether copies of whole modules, which are trained beside adapters, are held as these are; PEFT leaves
    them in the base's type."""
    step_tensors: int = 1
    """Temporary tensors per weight in the step of torch's optimizers that go through all weights at once:
    two in PyTorch 2.0, the root of the second moment and the denominator."""
    activation_fused: bool = True
    """Whether Liger's kernels, where they run, include the feed-forward layer's activation."""
    one_kernel_activation: bool = False
    """Whether an activation that transformers writes as several operations (GPT-2's and Phi's) is one
    kernel."""
    attention_speed: float = 1.0
    """Speed of its fused attention over that of FlashAttention-2, which torch has."""


TRAINER: Final = Program()
"""Our trainer."""
