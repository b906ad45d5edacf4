"""Packs as the model gets them: documents side by side in one sequence, none of which sees another.

There is no attention mask: the model tells documents apart by positions that start again at 0. transformers
does so where it gets neither a mask nor a cache of keys and values; `training/isolation.py` makes sure that
the model at hand does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np
import torch

from finetune_trainer.data.dataset import DataFacts, Sample, TokenizedDataset
from finetune_trainer.data.examples import Origin
from finetune_trainer.data.packing import pack
from finetune_trainer.data.rendering import IGNORED, Ids


class Packed(TypedDict):
    """One pack. The first label of each document is `IGNORED`: it would be predicted from another
    document."""

    input_ids: Ids
    labels: Ids
    position_ids: Ids


class PackedBatch(TypedDict):
    """Of shape (micro-batch, longest pack), or (1, all tokens) when flat."""

    input_ids: torch.Tensor
    labels: torch.Tensor
    position_ids: torch.Tensor
    use_cache: bool


@dataclass(frozen=True)
class PackedDataset(torch.utils.data.Dataset[Packed]):
    """Packs by index; every index from `len` on is a filler on which nothing is learned."""

    records: TokenizedDataset
    packs: Sequence[Sequence[int]]
    facts: DataFacts
    flat: bool = False
    """Whether a batch is one row without padding, as flash attention wants it."""

    def __len__(self) -> int:
        return len(self.packs)

    def __getitem__(self, index: int) -> Packed:
        if index >= len(self.packs):
            return join([self.records.filler])
        return join([self.records[member] for member in self.packs[index]])

    def tokens_in(self, indices: Iterable[int]) -> int:
        """Real tokens (no padding, no fillers) of the packs at these indices."""
        return self.records.tokens_in(self._members(indices))

    def origins(self, indices: Iterable[int]) -> list[Origin]:
        """Where the records in the packs at these indices come from."""
        return self.records.origins(self._members(indices))

    def lengths(self) -> list[int]:
        """Tokens of each pack."""
        lengths = self.records.lengths()
        return [sum(lengths[member] for member in members) for members in self.packs]

    def collate(self, packs: Sequence[Packed], pad_id: int) -> PackedBatch:
        """The packs of a micro-batch side by side. Padding is a document of its own, and not learned."""
        rows = [_joined(packs)] if self.flat else packs
        longest = max(len(row["input_ids"]) for row in rows)
        shape = (len(rows), longest)
        ids = torch.full(shape, pad_id, dtype=torch.long)
        labels = torch.full(shape, IGNORED, dtype=torch.long)
        positions = torch.zeros(shape, dtype=torch.long)
        for number, row in enumerate(rows):
            length = len(row["input_ids"])
            ids[number, :length] = torch.from_numpy(row["input_ids"])
            labels[number, :length] = torch.from_numpy(row["labels"])
            positions[number, :length] = torch.from_numpy(row["position_ids"])
            positions[number, length:] = torch.arange(longest - length)
        return PackedBatch(input_ids=ids, labels=labels, position_ids=positions, use_cache=False)

    def laid_out_for(self, attention: str) -> "PackedDataset":
        """The same packs, in the shape in which this attention implementation tells documents apart."""
        return replace(self, flat=attention.startswith("flash"))

    def _members(self, indices: Iterable[int]) -> list[int]:
        return [member for index in indices if index < len(self.packs) for member in self.packs[index]]


def pack_dataset(records: TokenizedDataset, capacity: int) -> PackedDataset:
    """All records, in packs of at most `capacity` tokens; `facts.sequences` counts the packs."""
    packs = pack(records.lengths(), capacity)
    facts = replace(records.facts, sequences=len(packs), documents=len(records))
    return PackedDataset(records, packs, facts)


def join(documents: Sequence[Sample]) -> Packed:
    """The documents one after the other, each with positions of its own."""
    labels = [document["labels"].copy() for document in documents]
    for document in labels:
        document[:1] = IGNORED
    return Packed(
        input_ids=np.concatenate([document["input_ids"] for document in documents]),
        labels=np.concatenate(labels),
        position_ids=np.concatenate([np.arange(len(label), dtype=np.int32) for label in labels]),
    )


def _joined(packs: Sequence[Packed]) -> Packed:
    return Packed(
        input_ids=np.concatenate([pack["input_ids"] for pack in packs]),
        labels=np.concatenate([pack["labels"] for pack in packs]),
        position_ids=np.concatenate([pack["position_ids"] for pack in packs]),
    )
