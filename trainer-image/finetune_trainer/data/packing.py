"""Packing: several records in one sequence of the full length, so that hardly any padding is computed.

Best fit decreasing over all records at once: the longest record first, each into the fullest sequence that
still has room. It needs at most 11/9 of the fewest possible sequences, and one more (Johnson, 1973).
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

WORD = 1024
"""Rooms per word of the index. Python's integers are the words."""


def pack(lengths: Sequence[int] | npt.NDArray[np.int64], capacity: int) -> list[list[int]]:
    """Which records share a sequence: indices into `lengths`, each once.

    A function of its arguments alone. Records of a pack, and packs by their first record, are in the order of
    the data. Raises `ValueError` for a length that is not between 1 and `capacity`.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    if sizes.size and not (sizes.min() >= 1 and sizes.max() <= capacity):
        raise ValueError(f"lengths must be between 1 and {capacity}")
    packs: list[list[int]] = []
    rooms = _Rooms(capacity)
    order = np.argsort(-sizes, kind="stable")
    for index, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        room = rooms.smallest_from(size)
        if room is None:
            number, room = len(packs), capacity
            packs.append([index])
        else:
            number = rooms.take(room)
            packs[number].append(index)
        if room > size:
            rooms.put(room - size, number)
    for members in packs:
        members.sort()
    packs.sort()
    return packs


class _Rooms:
    """Packs by the room that is left in them, and which rooms there are: a set of integers on two levels, so
    that the next larger one is found in a few steps."""

    def __init__(self, capacity: int) -> None:
        self.packs: defaultdict[int, list[int]] = defaultdict(list)
        self.words = [0] * (capacity // WORD + 1)
        self.used = 0

    def put(self, room: int, number: int) -> None:
        self.packs[room].append(number)
        word, bit = divmod(room, WORD)
        self.words[word] |= 1 << bit
        self.used |= 1 << word

    def take(self, room: int) -> int:
        numbers = self.packs[room]
        number = numbers.pop()
        if not numbers:
            word, bit = divmod(room, WORD)
            self.words[word] &= ~(1 << bit)
            if not self.words[word]:
                self.used &= ~(1 << word)
        return number

    def smallest_from(self, size: int) -> int | None:
        """The smallest room that holds `size`, if there is one."""
        word, bit = divmod(size, WORD)
        here = self.words[word] >> bit
        if here:
            return size + _lowest(here)
        later = self.used >> (word + 1)
        if not later:
            return None
        word += 1 + _lowest(later)
        return word * WORD + _lowest(self.words[word])


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1
