"""The loss of a causal language model on CPU without its logits: the head is applied to supervised positions
only, a few at a time, by torch's `linear_cross_entropy`.

The value is the model's own: the sum over supervised tokens, divided by their number in the global batch.
"""

from functools import wraps
from typing import Any

import torch
from torch.nn import LinearCrossEntropyOptions
from torch.nn.functional import linear_cross_entropy
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from finetune_api.job import FineTuneJobSpec
from finetune_trainer.data.rendering import IGNORED
from finetune_trainer.training.smoothed_loss import counts_tokens

LARGEST_DIFFERENCE = 1e-4
"""Relative, between the model's own loss and the fused one."""

LARGE_LOGIT = 100.0
"""The largest logit of a trial. A new model's are near 0, where a cap (gemma 2: 30 · tanh(x / 30)) can't be
told from no cap, nor one scale from another."""


def needs_no_logits(spec: FineTuneJobSpec) -> bool:
    """Whether nothing that the job asks for looks at logits in training or evaluation, or compiles the
    forward pass."""
    return "tokenAccuracy" not in spec.evaluation.metrics and spec.training.compile == "none"


def fuse_loss(model: torch.nn.Module) -> bool:
    """Replaces the model's forward pass where it is given labels; whether it can.

    It stays as it was on a GPU (fused kernels for that are `model.kernels`), under ZeRO-3, with a head that
    is not fp32 or has an adapter, with a loss for routing, where the model's own loss does not count tokens
    or somebody else has replaced the forward pass, and where the trial fails.
    """
    unwrap = getattr(model, "get_base_model", None)
    base: Any = model if unwrap is None else unwrap()
    if not isinstance(base, PreTrainedModel) or "forward" in vars(base):
        return False
    head = base.get_output_embeddings()
    fit = (
        type(head) is torch.nn.Linear
        and head.weight.device.type == "cpu"
        and head.weight.dtype == torch.float32
        and not hasattr(head.weight, "ds_id")
        and base.base_model is not base
        and counts_tokens(base)
        and not getattr(base.config.get_text_config(), "output_router_logits", False)
    )
    if not fit:
        return False
    expected = _trial(base, head)
    plain = base.forward

    @wraps(plain)
    def forward(
        *args: Any,
        labels: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Any,
    ) -> Any:
        supervised = None if labels is None else (labels[:, 1:] != IGNORED).nonzero(as_tuple=True)
        if labels is None or supervised is None or not len(supervised[0]):
            return plain(*args, labels=labels, num_items_in_batch=num_items_in_batch, **kwargs)
        hidden = base.base_model(*args, **kwargs).last_hidden_state
        rows, columns = supervised
        places = rows * hidden.shape[1] + columns
        loss = linear_cross_entropy(
            hidden.reshape(-1, hidden.shape[-1]).index_select(0, places),
            head.weight,
            labels[rows, columns + 1],
            linear_bias=head.bias,
            reduction="sum",
            options=LinearCrossEntropyOptions(),
        )
        return CausalLMOutput(loss=loss / (len(rows) if num_items_in_batch is None else num_items_in_batch))

    base.forward = forward
    if expected and abs(1 - (_trial(base, head) or 0.0) / expected) < LARGEST_DIFFERENCE:
        return True
    del base.forward
    return False


def _trial(model: PreTrainedModel, head: torch.nn.Linear) -> float | None:
    """The loss on a few tokens whose hidden states are enlarged until `head` gives large logits, so that
    whatever the model does to its logits (caps, scales) shows; None where the model does not take them."""

    def enlarge(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
        hidden = output.last_hidden_state
        output.last_hidden_state = hidden * (LARGE_LOGIT / head(hidden).abs().max())

    ids = torch.arange(2, 10)[None]
    training = model.training
    model.eval()
    enlarged = model.base_model.register_forward_hook(enlarge)
    try:
        with torch.no_grad():
            return float(model(input_ids=ids, labels=ids).loss)
    except (TypeError, RuntimeError, IndexError):
        return None
    finally:
        enlarged.remove()
        model.train(training)
