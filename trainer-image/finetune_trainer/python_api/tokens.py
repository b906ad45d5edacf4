"""A torch Dataset of token ids, as the engine wants its data: checked, with lengths, and with fillers."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch.utils.data import Dataset

from finetune_trainer.data.dataset import Batch, DataFacts, Sample, collate
from finetune_trainer.data.examples import Origin
from finetune_trainer.data.fingerprint import Fingerprint
from finetune_trainer.data.rendering import IGNORED, Ids
from finetune_trainer.errors import DataError

SAMPLED: Final = 50_000
"""Sequences that a fingerprint is taken of, at most."""


class TokenDataset(Dataset[Sample]):
    """Every item of `source` is one sequence: a one-dimensional tensor, array or list of token ids, all of
    which are learned. Indices from `len` on are fillers."""

    def __init__(self, source: Any, *, vocab_size: int, max_length: int, name: str) -> None:
        self.source = source
        self.vocab_size = vocab_size
        self.max_length = max_length
        self.name = name
        self._lengths: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Sample:
        """Raises `DataError` for an item that is no sequence of the model's tokens."""
        if index >= len(self):
            return Sample(input_ids=np.zeros(2, dtype=np.int32), labels=np.full(2, IGNORED, dtype=np.int32))
        ids = self._checked(index)
        self._lengths[index] = len(ids)
        return Sample(input_ids=ids, labels=ids)

    @property
    def facts(self) -> DataFacts:
        """Counted by the first sequence: to read all of them would take as long as an epoch."""
        tokens = len(self) * self._length(0)
        return DataFacts(records=len(self), sequences=len(self), tokens=tokens, supervised_tokens=tokens)

    def tokens_in(self, indices: Iterable[int]) -> int:
        """Tokens of the sequences at these indices."""
        return sum(self._length(index) for index in indices if index < len(self))

    def lengths(self) -> list[int]:
        """Tokens of each sequence; reads all of them."""
        return [self._length(index) for index in range(len(self))]

    def fingerprint(self) -> Fingerprint:
        """Of all sequences, or of `SAMPLED` of them, evenly spread, where there are more: to read all would
        take as long as an epoch."""
        count = len(self)
        chosen = range(count) if count <= SAMPLED else np.linspace(0, count - 1, SAMPLED).astype(int).tolist()
        digest = hashlib.sha256()
        for index in chosen:
            ids = self._checked(index)
            digest.update(len(ids).to_bytes(8, "little"))
            digest.update(ids.tobytes())
        return Fingerprint(items=count, sha256=digest.hexdigest())

    def collate(self, samples: Sequence[Sample], pad_id: int) -> Batch:
        """A micro-batch of samples."""
        return collate(samples, pad_id)

    def origins(self, indices: Iterable[int]) -> list[Origin]:
        """The items' places in the dataset."""
        return [Origin(self.name, index + 1, "element") for index in indices if index < len(self)]

    def _length(self, index: int) -> int:
        if index not in self._lengths:
            # read by a worker process, which keeps what it knows to itself
            self._lengths[index] = len(self._checked(index))
        return self._lengths[index]

    def _checked(self, index: int) -> Ids:
        ids = torch.as_tensor(self.source[index])
        here = f"{self.name}[{index}]"
        if ids.dim() != 1 or ids.is_floating_point() or ids.is_complex() or ids.dtype is torch.bool:
            raise DataError(
                f"{here}: shape {tuple(ids.shape)} of {ids.dtype} is no sequence of token ids. Return a "
                "one-dimensional tensor of integers"
            )
        if not 2 <= len(ids) <= self.max_length:
            raise DataError(
                f"{here}: {len(ids)} tokens; a sequence has 2 to {self.max_length} "
                "(model_config.max_position_embeddings)"
            )
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= self.vocab_size:
            raise DataError(
                f"{here}: token {low if low < 0 else high} is none of the {self.vocab_size} of "
                "model_config.vocab_size"
            )
        return np.asarray(ids.cpu(), dtype=np.int32)


class NoTokenizer:
    """Stands where a job has its tokenizer: data that are token ids need none."""

    bos_token_id = eos_token_id = pad_token_id = None

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size

    def __len__(self) -> int:
        return self.vocab_size

    def save_pretrained(self, directory: object) -> None:
        """There is nothing to save."""
