"""Attention document by document on CPU: for n documents of length s it costs n·s², where a mask over one row
of them costs (n·s)².

It is transformers' own `sdpa`, called once for each document of a flat batch (`data/flat.py`). GPUs have
flash attention for this.
"""

from typing import Any

import numpy as np
import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from finetune_trainer.data.dataset import Sample
from finetune_trainer.data.flat import flat
from finetune_trainer.data.rendering import Ids

NAME = "sdpa_by_document"

LARGEST_DIFFERENCE = 0.01
"""Of the largest logit, between a document beside another and the same one alone: rounding is far below, a
leak far above."""


def attend_by_document(model: PreTrainedModel, longest: int) -> bool:
    """Makes the model take flat batches, of documents of at most `longest` tokens; whether it can.

    It stays as it was with another attention than `sdpa`, where a layer does not attend to all of a
    document, under ZeRO-3 (the weights are not here to try it), and where the trial fails.
    """
    weight = next(model.parameters())
    fit = (
        not hasattr(weight, "ds_id")
        and model.config._attn_implementation == "sdpa"
        and _sees_all(model.config.get_text_config(), longest)
    )
    if not fit:
        return False
    model.set_attn_implementation(NAME)
    if model.config._attn_implementation == NAME and _is_right(model):
        return True
    model.set_attn_implementation("sdpa")
    return False


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    cu_seq_lens_q: torch.Tensor | None = None,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """Query, key and value are of shape (1, heads, all tokens, channels)."""
    if cu_seq_lens_q is None:
        # not a flat batch: evaluation and generation pad
        output: torch.Tensor = sdpa_attention_forward(module, query, key, value, attention_mask, **settings)[
            0
        ]
        return output, None
    lengths: list[int] = cu_seq_lens_q.diff().tolist()
    documents = zip(*(torch.split(tensor, lengths, dim=2) for tensor in (query, key, value)), strict=True)
    parts = [sdpa_attention_forward(module, *document, None, **settings)[0] for document in documents]
    return torch.cat(parts, dim=1), None


def _mask(*, attention_mask: torch.Tensor | None = None, **settings: Any) -> torch.Tensor | None:
    """None for a flat batch, which comes without padding."""
    if attention_mask is None:
        return None
    mask: torch.Tensor | None = sdpa_mask(attention_mask=attention_mask, **settings)
    return mask


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, _mask)


def _sees_all(config: Any, longest: int) -> bool:
    """Whether in every layer each token attends to all before it, in a document of this length."""
    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return kinds <= {"full_attention", "sliding_attention"} and (window is None or longest <= window)


def _is_right(model: PreTrainedModel) -> bool:
    """Whether a document has the logits that it has alone, and no other changes a bit of them.

    A mixture of experts may fail this by rounding, where a device's products depend on how many tokens an
    expert gets; its documents are then isolated by a mask, which is slower.
    """
    first, second, other = (np.full(5, token, dtype=np.int32) for token in (1, 2, 3))
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            beside_first = _logits(model, first, other)
            beside_second = _logits(model, second, other)
            alone = _logits(model, other)
    except (TypeError, RuntimeError):
        return False
    finally:
        model.train(training)
    error = (beside_first - alone).abs().max() / alone.abs().max()
    return torch.equal(beside_first, beside_second) and float(error) < LARGEST_DIFFERENCE


def _logits(model: PreTrainedModel, *documents: Ids) -> torch.Tensor:
    """Those of the last document."""
    batch: dict[str, Any] = {**flat([Sample(input_ids=ids, labels=ids) for ids in documents])}
    del batch["labels"]
    logits: torch.Tensor = model(**batch).logits[0, -len(documents[-1]) :]
    return logits.float()
