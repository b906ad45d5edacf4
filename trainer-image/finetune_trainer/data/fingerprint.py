"""Whether the data that a run learns from is still what it was: a checkpoint keeps its fingerprint."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from finetune_trainer.data.dataset import TokenizedDataset
from finetune_trainer.data.judged import JudgedDataset
from finetune_trainer.data.packed import PackedDataset
from finetune_trainer.data.preferences import PairedDataset
from finetune_trainer.data.prompts import PromptDataset
from finetune_trainer.data.rendering import Tokens
from finetune_trainer.data.stored import StoredSequences
from finetune_trainer.data.training_data import TrainingData


class Fingerprint(BaseModel):
    """Equal for data of the same items in the same order, in memory or on disk; where they come from does not
    count."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    items: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.items} items, SHA-256 {self.sha256[:12]}"


def fingerprint(data: TrainingData, lengths: Sequence[int] | None = None) -> Fingerprint:
    """Reads all tokens once, as fast as they can be hashed; packs follow from the records that are in them.

    `lengths` are those that the records say themselves, by which items are grouped.

    Raises `TypeError` for data of another kind than the stages make.
    """
    match data:
        case TokenizedDataset():
            digests = _of_sequences(data.sequences)
        case PackedDataset() | PairedDataset():
            digests = _of_sequences(data.records.sequences)
        case JudgedDataset():
            desired = np.asarray(data.desired, dtype=np.bool_)
            digests = [*_of_sequences(data.records.sequences), hashlib.sha256(desired.tobytes()).digest()]
        case PromptDataset():
            digests = _of_prompts(data)
        case _:
            raise TypeError(f"{type(data).__name__} has no fingerprint")
    if lengths is not None:
        digests.append(hashlib.sha256(np.asarray(lengths, dtype=np.int64).tobytes()).digest())
    return Fingerprint(items=len(data), sha256=hashlib.sha256(b"".join(digests)).hexdigest())


def _of_sequences(sequences: Sequence[Tokens]) -> list[bytes]:
    """Of all ids, of all labels, and of where each sequence ends."""
    if isinstance(sequences, StoredSequences):
        arrays: list[npt.NDArray[np.int32] | npt.NDArray[np.int64]] = [
            sequences.ids,
            sequences.labels,
            sequences.ends,
        ]
        with ThreadPoolExecutor(max_workers=len(arrays)) as pool:
            return list(pool.map(lambda array: hashlib.sha256(array.data).digest(), arrays))
    ids, labels = hashlib.sha256(), hashlib.sha256()
    for tokens in sequences:
        ids.update(np.asarray(tokens.ids, dtype=np.int32).tobytes())
        labels.update(np.asarray(tokens.labels, dtype=np.int32).tobytes())
    ends = np.cumsum([len(tokens.ids) for tokens in sequences], dtype=np.int64)
    return [ids.digest(), labels.digest(), hashlib.sha256(ends.tobytes()).digest()]


def _of_prompts(data: PromptDataset) -> list[bytes]:
    """Tokens, and what a reward function sees."""
    digest = hashlib.sha256()
    for prompt in map(data.__getitem__, range(len(data))):
        seen = (prompt["input_ids"].tolist(), prompt["messages"], prompt["expected"], *prompt["tools"])
        digest.update(repr(seen).encode("utf-8", "surrogatepass"))
    return [digest.digest()]
