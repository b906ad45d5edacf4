"""A configuration of another program while it is written: what it says, and what it can't say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Values = Mapping[str, Any]
"""The effective values of a job, by path."""


@dataclass
class Draft:
    """The keys that are written so far, and what became of the paths behind them."""

    values: Values
    document: dict[str, Any] = field(default_factory=dict)
    said: set[str] = field(default_factory=set)
    """Paths whose values are written, or are what the program does anyway."""
    unsaid: dict[str, str] = field(default_factory=dict)
    """Paths whose values the program does otherwise, with the reason; whether they were chosen or not."""

    def say(self, *paths: str, **keys: Any) -> None:
        """Write the keys, which say all that the paths say."""
        self.document |= keys
        self.said |= set(paths)

    def lose(self, path: str, reason: str) -> None:
        """Keep a value from being written that the program would not take, or take for another."""
        self.unsaid[path] = reason

    def lose_unless_default(self, path: str, default: Any, reason: str) -> None:
        """Lose the value where it is another than the one that the program has anyway."""
        if self.values.get(path, default) != default:
            self.lose(path, reason)
        else:
            self.said.add(path)

    def settled(self, path: str) -> bool:
        """Whether it is known already what becomes of the path."""
        return path in self.said or path in self.unsaid

    @property
    def evaluates(self) -> bool:
        """Whether the job has data to evaluate on."""
        held_out = bool(self.values.get("dataset.evalSplit"))
        return held_out or any(path.startswith("dataset.eval.") for path in self.values)

    @property
    def accelerated(self) -> bool:
        """Whether the job runs on accelerators."""
        return bool(self.values.get("resources.accelerators.perNode"))
