"""Records become tokens on all cores that are there: in processes, since templates are Python."""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from typing import Any, TypeVar

from finetune_trainer.cpus import usable_cpus
from finetune_trainer.data.examples import Example, texts
from finetune_trainer.data.rendering import Renderer, Tokens
from finetune_trainer.errors import OutOfMemoryError
from finetune_trainer.interruption import end_with_parent

log = logging.getLogger(__name__)

CHUNK = 256
"""Records that a process gets at once, if they are short."""

CHUNK_CHARACTERS = 1 << 18
"""Characters from which on a chunk takes no more records. A token takes some 170 bytes while it is made (a
number and a pair of positions, as Python has them), and there is up to one per character."""

WORTH_A_PROCESS = 1000
"""Records below which another process costs more than it gives."""

Result = TypeVar("Result")
Chunk = list[Example]

_work: Callable[[Chunk], Any] | None = None
"""What a worker does with a chunk; set in the worker only."""


def worker_count(asked: int | None, records: int) -> int:
    """Processes that tokenise so many records: as asked for, else one per core where that is worth it."""
    if asked is not None:
        return asked
    return max(1, min(usable_cpus(), records // WORTH_A_PROCESS))


def render_each(examples: Iterable[Example], renderer: Renderer, workers: int) -> Iterator[Tokens]:
    """The tokens of every example, in their order, with only so many examples in memory as the processes have
    at hand.

    Raises what the renderer raises, and `OutOfMemoryError` when a process was killed.
    """
    for tokens in spread(chunks(examples), renderer.all, workers):
        yield from tokens


def spread(parts: Iterable[Chunk], work: Callable[[Chunk], Result], workers: int) -> Iterator[Result]:
    """What `work` makes of each chunk, in their order, by so many processes. Raises as `render_each` does."""
    if workers == 1:
        yield from map(work, parts)
        return
    log.info("%d processes tokenise", workers)
    # forked: the tokenizer need not be loaded again. A worker touches neither torch nor the process group.
    pool = ProcessPoolExecutor(workers, get_context("fork"), initializer=_begin, initargs=(work,))
    try:
        waiting = []
        for part in parts:
            waiting.append(pool.submit(_do, part))
            if len(waiting) > 2 * workers:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()
    except BrokenProcessPool as error:
        raise OutOfMemoryError(
            f"dataset.preprocessing.workers: one of {workers} processes was killed while it tokenised, as "
            "the kernel does when memory is used up. Use fewer workers, or raise resources.memory"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


Noted = tuple[Example, str]
"""An example with the note of its sequence (`Tokens.note`)."""


def render_noted(noted: Iterable[Noted], renderer: Renderer, workers: int) -> Iterator[Tokens]:
    """The tokens of every example, each with the note that came with it. Raises what `render_each` raises."""
    notes: deque[str] = deque()

    def examples() -> Iterator[Example]:
        for example, note in noted:
            notes.append(note)
            yield example

    for tokens in render_each(examples(), renderer, workers):
        yield replace(tokens, note=notes.popleft())


def chunks(examples: Iterable[Example]) -> Iterator[Chunk]:
    """The examples in their order, as many at once as a process gets."""
    chunk: Chunk = []
    characters = 0
    for example in examples:
        chunk.append(example)
        characters += sum(map(len, texts([example])))
        if len(chunk) == CHUNK or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _begin(work: Callable[[Chunk], Any]) -> None:
    global _work
    end_with_parent()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _work = work


def _do(chunk: Chunk) -> Any:
    if _work is None:
        raise AssertionError("a worker begins with its work")
    return _work(chunk)
