"""What a check must know of a job's stage: which records it can begin with, and what it makes of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from finetune_trainer.data.dataset import TokenizedDataset
from finetune_trainer.data.examples import Example, Preference, sides
from finetune_trainer.data.judged import JudgedDataset, judged, unjudged
from finetune_trainer.data.making import Sieve, documents, in_memory
from finetune_trainer.data.preferences import PairedDataset, PairSieve
from finetune_trainer.data.prompts import unanswerable
from finetune_trainer.data.rendering import Renderer, Tokens

UNUSABLE: Final[Mapping[str, Callable[[Example], str | None]]] = {
    "kto": unjudged,
    "grpo": unanswerable,
    "ppo": unanswerable,
}
"""What is wrong with a record for a stage, in words, or None."""


def problem_of(stage: str, example: Example) -> str | None:
    """Why a stage would refuse a record that can be read, in words; None where it would not."""
    look = UNUSABLE.get(stage)
    return None if look is None else look(example)


def sides_of(example: Example) -> Sequence[Example]:
    """What of an example becomes a sequence."""
    return sides(example) if isinstance(example, Preference) else (example,)


def sequences_of(
    stage: str, examples: Sequence[Example], rendered: list[Tokens], renderer: Renderer
) -> TokenizedDataset:
    """What a stage makes of examples whose tokens are there. Raises `DataError` when nothing is left.

    Of grpo and ppo it is the whole conversations, answers included.
    """
    if stage == "pretrain":
        return in_memory(documents(examples, renderer, workers=1))
    if stage == "kto":
        known = [example for example in examples if unjudged(example) is None]
        return in_memory(judged(known, renderer, workers=1))
    sieve = (PairSieve if _are_paired(examples) else Sieve)(renderer)
    return in_memory((sieve(rendered), sieve.facts))


def items_of(
    data: TokenizedDataset, examples: Sequence[Example], renderer: Renderer, stage: str
) -> TokenizedDataset | PairedDataset | JudgedDataset:
    """The sequences as the stage learns from them."""
    if stage == "kto":
        return JudgedDataset(data, renderer.max_length)
    return PairedDataset(data) if _are_paired(examples) else data


def _are_paired(examples: Sequence[Example]) -> bool:
    return any(isinstance(example, Preference) for example in examples)
