"""A model that was read from files, tried as its users will: what it computes, and that it generates."""

from typing import Any, Final

import torch

from finetune_trainer.deepspeed_config import Precision

PROBE_TOKENS: Final = 64
NEW_TOKENS: Final = 8

TOLERANCE: Final[dict[Precision, float]] = {"fp32": 1e-3, "bf16": 5e-2, "fp16": 2e-2}
"""How far the logits of the model from files may be from those of the one that was written, as a share of the
largest logit: they may have been computed on different devices."""


def logits_of(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """On the host in fp32, for token ids of shape (1, tokens)."""
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=ids.to(model.device)).logits
    return logits.float().cpu()


def generate(model: Any, ids: torch.Tensor, pad_token_id: int | None) -> None:
    """Lets the model go on from the first of these ids. Raises what the libraries do."""
    start = ids[:, : PROBE_TOKENS // 2].to(model.device)
    with torch.no_grad():
        model.generate(
            input_ids=start,
            attention_mask=torch.ones_like(start),
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            pad_token_id=pad_token_id,
        )


def relative_difference(values: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference of two tensors, as a share of the largest expected value; NaN stays NaN."""
    return float((values - expected).abs().max()) / max(float(expected.abs().max()), 1e-6)
