"""NEFTune (Jain et al. 2023, algorithm 1): noise on the embeddings of each document while training.

L of the paper is the document's own length, and so it is here. transformers' hook takes the length of the row
that the model gets: padded, or a whole pack, or all documents of a micro-batch side by side. The noise of a
document would then depend on what it is batched with.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def noisy_embeddings(model: Any, alpha: float | None) -> Iterator[None]:
    """Inside, training adds uniform noise of at most α / √(L·d) to each of a document's L embeddings of d
    numbers; nothing without α."""
    if alpha is None:
        yield
        return
    lengths = torch.ones(())

    def look(_model: Any, _args: Any, inputs: Mapping[str, Any]) -> None:
        nonlocal lengths
        lengths = document_lengths(inputs)

    def add_noise(embedding: torch.nn.Module, _args: Any, embedded: torch.Tensor) -> torch.Tensor:
        if not embedding.training:
            return embedded
        largest = alpha / torch.sqrt(lengths * embedded.shape[-1])
        noise = torch.zeros_like(embedded).uniform_(-1, 1)
        return embedded + noise * largest.unsqueeze(-1).to(embedded)

    hooks = (
        model.register_forward_pre_hook(look, with_kwargs=True),
        model.get_input_embeddings().register_forward_hook(add_noise),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def document_lengths(inputs: Mapping[str, Any]) -> torch.Tensor:
    """Of each token in a batch, how many tokens its document has: shape (rows, tokens), or (rows, 1) where a
    row holds one document."""
    mask, positions = inputs.get("attention_mask"), inputs.get("position_ids")
    if mask is not None:
        masked: torch.Tensor = mask.sum(dim=1, keepdim=True)
        return masked
    if positions is None:
        rows, tokens = inputs["input_ids"].shape
        return torch.full((rows, 1), tokens, device=inputs["input_ids"].device)
    documents = (positions == 0).cumsum(dim=1)
    counts = torch.zeros(len(positions), positions.shape[1] + 1, dtype=torch.long, device=positions.device)
    counts.scatter_add_(1, documents, torch.ones_like(documents))
    return counts.gather(1, documents)
