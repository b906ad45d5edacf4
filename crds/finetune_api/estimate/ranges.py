"""A figure with its uncertainty."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Range:
    """What is expected, and between which bounds the truth should lie: low ≤ expected ≤ high."""

    low: float
    expected: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Self:
        """A figure without uncertainty."""
        return cls(value, value, value)

    def map(self, function: Callable[[float], float]) -> "Range":
        """The figure that follows from this one by a growing function."""
        return Range(function(self.low), function(self.expected), function(self.high))

    def per(self, amount: float) -> "Range":
        """How much of an amount falls to one unit of this figure, which is over zero."""
        return Range(amount / self.high, amount / self.expected, amount / self.low)

    def plus(self, other: "Range") -> "Range":
        """The sum of two figures."""
        return Range(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def times(self, other: "Range") -> "Range":
        """The product of two figures over zero."""
        return Range(self.low * other.low, self.expected * other.expected, self.high * other.high)
