"""A micro-batch without padding: its documents side by side in one row, for attention that goes document by
document (`training/by_document.py`)."""

from collections.abc import Sequence
from typing import TypedDict, cast

import numpy as np
import torch

from finetune_trainer.data.dataset import Sample
from finetune_trainer.data.packed import Packed, join


class FlatBatch(TypedDict):
    """Ids, labels and positions are of shape (1, all tokens). The first label of each document is ignored."""

    input_ids: torch.Tensor
    labels: torch.Tensor
    position_ids: torch.Tensor
    cu_seq_lens_q: torch.Tensor
    """Where each document begins, and where the last one ends; transformers' name for it."""
    use_cache: bool


def flat(rows: Sequence[Sample | Packed]) -> FlatBatch:
    """The documents of all rows, each of which is a pack or a document of its own."""
    packs = [cast(Packed, row) if "position_ids" in row else join([row]) for row in rows]
    ids, labels, positions = (
        np.concatenate([pack[name] for pack in packs]).astype(np.int64)
        for name in ("input_ids", "labels", "position_ids")
    )
    bounds = np.append(np.flatnonzero(positions == 0), len(positions))
    return FlatBatch(
        input_ids=torch.from_numpy(ids)[None],
        labels=torch.from_numpy(labels)[None],
        position_ids=torch.from_numpy(positions)[None],
        cu_seq_lens_q=torch.from_numpy(bounds.astype(np.int32)),
        use_cache=False,
    )
