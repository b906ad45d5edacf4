"""Examples that say the same as others: twice in the training data, or in training and evaluation."""

import hashlib
from collections.abc import Iterable, Sequence

from finetune_trainer.data.check.report import Duplicate
from finetune_trainer.data.examples import Document, Example, Origin


def duplicates(examples: Iterable[Example]) -> list[Duplicate]:
    """Examples that say the same as an earlier one."""
    first: dict[bytes, str] = {}
    found: list[Duplicate] = []
    for example in examples:
        content, where = _content(example), str(example.origin)
        if content in first:
            found.append(Duplicate(where, first[content]))
        else:
            first[content] = where
    return found


def overlaps(trained: Sequence[Example], evaluated: Iterable[Example]) -> list[Duplicate]:
    """Evaluation examples that are trained on too, each with the first such example."""
    seen = {_content(example): str(example.origin) for example in reversed(trained)}
    return [
        Duplicate(str(example.origin), seen[content])
        for example in evaluated
        if (content := _content(example)) in seen
    ]


def overlaps_of_split(
    examples: Sequence[Example], *, trained: Iterable[Origin], held_out: Iterable[Origin]
) -> list[Duplicate]:
    """Held out examples of which another record that says the same is trained on. A text that is cut into
    sequences may itself stand on both sides; it repeats nothing."""
    learned = set(trained)
    kept_back = set(held_out) - learned
    return overlaps(
        [example for example in examples if example.origin in learned],
        [example for example in examples if example.origin in kept_back],
    )


def _content(example: Example) -> bytes:
    """What an example says, whatever file it is from; equal for equal ones."""
    said = example.text if isinstance(example, Document) else repr(tuple(_parts(example)))
    return hashlib.sha256(said.strip().encode("utf-8", "surrogatepass")).digest()


def _parts(example: Example) -> Iterable[object]:
    for name in ("messages", "tools", "prompt", "chosen", "rejected"):
        yield getattr(example, name, None)
