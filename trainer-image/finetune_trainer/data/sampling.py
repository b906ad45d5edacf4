"""The order of the data: a function of seed and epoch alone, the same on any number of ranks.

Optimizer step k of an epoch takes the next `global batch` of a permutation of the records. How that batch is
cut into ranks and accumulation steps changes who computes what, not what is computed.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from finetune_api.training import TrainingSpec

WINDOW_STEPS = 64
"""Steps whose records are sorted by length together, under `groupByLength`."""


@dataclass(frozen=True, eq=False)
class GlobalOrder:
    """Which records make up each optimizer step. Indices from `size` on stand for fillers."""

    size: int
    """Number of records."""
    global_batch: int
    """Records per optimizer step, over all ranks and accumulation steps."""
    seed: int
    shuffle: bool = True
    lengths: Sequence[int] | None = None
    """Tokens of each record, where steps are to hold records of similar length."""

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps per epoch; the last one may hold fillers."""
        return -(-self.size // self.global_batch)

    def epoch(self, epoch: int) -> list[int]:
        """All indices of an epoch (from 0) in order, with fillers up to a whole number of steps."""
        first = epoch * self.steps_per_epoch
        return [index for step in range(self.steps_per_epoch) for index in self.step(first + step)]

    def step(self, step: int) -> list[int]:
        """Indices of an optimizer step, counted from 0 over the whole run."""
        epoch, within = divmod(step, self.steps_per_epoch)
        start = within * self.global_batch
        records: list[int] = _epoch(self, epoch)[start : start + self.global_batch].tolist()
        return [*records, *range(self.size, self.size + self.global_batch - len(records))]


def total_steps(training: TrainingSpec, steps_per_epoch: int) -> int:
    """Optimizer steps of the whole run, as transformers counts them."""
    return training.max_steps or math.ceil(training.epochs * steps_per_epoch)


@lru_cache(maxsize=2)
def _epoch(order: GlobalOrder, epoch: int) -> npt.NDArray[np.int64]:
    """All records in the order of an epoch: 8 bytes each, which is what a run holds of a set on disk."""
    if not order.shuffle:
        return np.arange(order.size)
    random = np.random.default_rng((order.seed, epoch))
    indices = random.permutation(order.size)
    if order.lengths is not None:
        indices = _grouped(indices, np.asarray(order.lengths), order.global_batch, random)
    return indices


def _grouped(
    indices: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], batch: int, random: np.random.Generator
) -> npt.NDArray[np.int64]:
    """The records, such that those of a step are of similar length, and steps come in random order.

    The step with the longest record is the first: if memory runs out, then at once. Records that fill no
    whole step stay at the end.
    """
    whole = len(indices) // batch * batch
    if not whole:
        return indices
    windows = [
        indices[start : start + WINDOW_STEPS * batch] for start in range(0, whole, WINDOW_STEPS * batch)
    ]
    windows[-1] = windows[-1][: whole - WINDOW_STEPS * batch * (len(windows) - 1)]
    by_length = np.concatenate([window[np.argsort(-lengths[window], kind="stable")] for window in windows])
    steps = random.permutation(by_length.reshape(-1, batch))
    longest = int(lengths[steps].max(axis=1).argmax())
    steps[[0, longest]] = steps[[longest, 0]]
    return np.concatenate([steps.ravel(), indices[whole:]])


class RankBatches(Sampler[list[int]]):
    """The micro-batches of one rank: batch number r, r + ranks, r + 2·ranks, … of the global order."""

    def __init__(self, order: GlobalOrder, *, micro_batch: int, rank: int, ranks: int) -> None:
        if order.global_batch % (micro_batch * ranks):
            raise ValueError("the global batch must be a whole number of micro-batches on every rank")
        self.order = order
        self.micro_batch = micro_batch
        self.rank = rank
        self.ranks = ranks
        self.epoch = 0

    def __len__(self) -> int:
        return self.order.steps_per_epoch * self.order.global_batch // (self.micro_batch * self.ranks)

    def __iter__(self) -> Iterator[list[int]]:
        first = self.epoch * self.order.steps_per_epoch
        stride = self.micro_batch * self.ranks
        for step in range(first, first + self.order.steps_per_epoch):
            indices = self.order.step(step)
            for start in range(self.rank * self.micro_batch, len(indices), stride):
                yield indices[start : start + self.micro_batch]
