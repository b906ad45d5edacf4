"""From examples to sequences, one after the other: what each stage makes of its data is a recipe."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from sys import maxsize
from typing import Generic, TypeVar

from finetune_api.resolved import ResolvedJob
from finetune_trainer.data.dataset import DataFacts, TokenizedDataset
from finetune_trainer.data.examples import Example
from finetune_trainer.data.rendering import Renderer, Tokens
from finetune_trainer.data.sieve import NewSieve, Sieve, StreamSieve
from finetune_trainer.data.training_data import Divisible
from finetune_trainer.data.workers import Noted, render_noted

Making = tuple[Iterator[Tokens], Callable[[], DataFacts]]
"""Sequences, and what became of the records; the latter is asked once all sequences are taken, and raises
`DataError` when there is none."""

Data_co = TypeVar("Data_co", bound=Divisible, covariant=True)


def one_sequence(example: Example) -> Iterable[Noted]:
    """An example as it is, with nothing to note."""
    return ((example, ""),)


@dataclass(frozen=True)
class Recipe(Generic[Data_co]):
    """How a stage makes its data. The check of the data goes through the same steps."""

    name: str
    """Another one for whatever makes other sequences of the same examples, templates and settings."""
    renderer: Renderer
    sieve: NewSieve
    wrap: Callable[[TokenizedDataset], Data_co]
    """The sequences as items of the stage."""
    parts: Callable[[Example], Iterable[Noted]] = one_sequence
    """What of an example becomes a sequence each, with its note. Raises `DataError`, which begins with the
    example's origin, where the stage cannot use the example."""
    drawn: bool = False
    """Whether sequences are prompts, which the model answers itself."""

    def make(self, examples: Iterable[Example], workers: int) -> Making:
        """The sequences of all examples, rendered by so many processes. Raises what `parts` and the renderer
        raise; the facts raise `DataError` when nothing is left to train on."""
        sieve = self.sieve()
        parts = chain.from_iterable(map(self.parts, examples))
        return sieve(render_noted(parts, self.renderer, workers)), sieve.facts


MakeRecipe = Callable[[ResolvedJob, Renderer], Recipe[Divisible]]
"""The recipe of a stage for a job, whose examples this renderer renders."""


def conversations(_job: ResolvedJob, renderer: Renderer) -> Recipe[TokenizedDataset]:
    """One sequence per example. Records on which nothing is supervised are left out and counted."""
    return Recipe("conversations", renderer, lambda: Sieve(renderer, renderer.drops), as_they_are)


def documents(_job: ResolvedJob, renderer: Renderer) -> Recipe[TokenizedDataset]:
    """All examples one after the other, each closed by the end token, cut into sequences of the full
    length."""
    unlimited = replace(renderer, max_length=maxsize)
    sieve = lambda: StreamSieve(Sieve(renderer, renderer.drops))  # noqa: E731
    return Recipe(f"documents of {renderer.max_length} tokens", unlimited, sieve, as_they_are)


def as_they_are(data: TokenizedDataset) -> TokenizedDataset:
    """Sequences that are items."""
    return data


def in_memory(making: Making) -> TokenizedDataset:
    """All sequences at once. Raises what making them raises."""
    sequences, facts = making
    made = list(sequences)
    return TokenizedDataset(made, facts())
