"""From examples to what is trained on: tokens, held-out part, packs; all as the job asks."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

from finetune_api.dataset import DataSource
from finetune_api.job import FineTuneJobSpec
from finetune_api.resolved import ResolvedJob
from finetune_trainer.cpus import usable_cpus
from finetune_trainer.data.cache import cached, cached_stream
from finetune_trainer.data.cache_key import cache_key, key_of_attempt
from finetune_trainer.data.dataset import TokenizedDataset, held_out
from finetune_trainer.data.examples import Example
from finetune_trainer.data.loading import load_examples, stream_examples
from finetune_trainer.data.making import Make, conversations, documents, in_memory
from finetune_trainer.data.packed import PackedDataset, pack_dataset
from finetune_trainer.data.rendering import Renderer, Supervise
from finetune_trainer.data.workers import worker_count
from finetune_trainer.distributed import on_first_rank
from finetune_trainer.tokenizers import Tokenizer

CACHE = "data"
"""Directory of tokenised data within the run directory."""

log = logging.getLogger(__name__)


class Divisible(Protocol):
    """Data of which a part is data of the same kind."""

    def __len__(self) -> int: ...

    def part(self, indices: Iterable[int]) -> Self:
        """The items at these indices."""


Data = TypeVar("Data", bound=Divisible)


@dataclass(frozen=True)
class Recipe(Generic[Data]):
    """How a stage makes its data."""

    name: str
    """Another one for whatever makes other sequences of the same examples, templates and settings."""
    make: Make
    wrap: Callable[[TokenizedDataset], Data]
    """The sequences as items of the stage."""


def renderer_for(spec: FineTuneJobSpec, tokenizer: Tokenizer) -> Renderer:
    """How this job's examples become tokens."""
    longest = spec.training.max_sequence_length
    return Renderer(tokenizer, spec.dataset.preprocessing, longest, supervised(spec))


def supervised(spec: FineTuneJobSpec) -> Supervise:
    """What the loss counts: as asked for, else all of a stream of text and the answers of anything else."""
    asked = spec.dataset.preprocessing.supervise
    if asked != "auto":
        return asked
    return "all" if is_stream(spec) else "answers"


def is_stream(spec: FineTuneJobSpec) -> bool:
    """Whether the data is one stream of text, cut into sequences."""
    return spec.training.stage == "pretrain"


def prepare_data(
    job: ResolvedJob, examples: Callable[[], list[Example]], tokenizer: Tokenizer
) -> tuple[TokenizedDataset | PackedDataset, TokenizedDataset | None]:
    """Training and evaluation data as tokens; only the former is packed.

    `examples` reads the training data; it is called when its tokens are not in the cache.
    """
    spec = job.spec
    make = documents if is_stream(spec) else conversations
    recipe = Recipe(make.__name__, make, wrap=lambda data: data)
    data, evaluation = train_and_evaluation(job, examples, renderer_for(spec, tokenizer), recipe)
    log.info(
        "%d sequences of %d tokens, %d of them supervised",
        data.facts.sequences,
        data.facts.tokens,
        data.facts.supervised_tokens,
    )
    if not spec.dataset.packing:
        return data, evaluation
    packed = pack_dataset(data, spec.training.max_sequence_length)
    full = packed.facts.tokens / (len(packed) * spec.training.max_sequence_length)
    log.info(
        "%d records are packed into %d sequences, which are %.1f %% full", len(data), len(packed), 100 * full
    )
    return packed, evaluation


def train_and_evaluation(
    job: ResolvedJob, examples: Callable[[], list[Example]], renderer: Renderer, recipe: Recipe[Data]
) -> tuple[Data, Data | None]:
    """Training and evaluation data of a stage as the job asks: the latter from a source of its own, or held
    out. Every stage's data is made here, and kept in the one store. All ranks call it alike.

    `examples` reads the training data; it is called when its tokens are not in the store. Raises `DataError`,
    and what making the data raises.
    """
    spec = job.spec

    def made(source: DataSource, path: str | None, read: Callable[[], list[Example]]) -> Data:
        return recipe.wrap(_tokens(job, source, path, read, renderer, recipe))

    data = made(spec.dataset.train, job.paths.train, examples)
    evaluation: Data | None = None
    if (source := spec.dataset.eval) is not None:
        evaluation = made(source, job.paths.eval, lambda: load_examples(spec.dataset, source, job.paths.eval))
    else:
        train, kept_back = held_out(len(data), spec.dataset.eval_split, spec.training.seed)
        if kept_back:
            data, evaluation = data.part(train), data.part(kept_back)
    if evaluation is not None and (limit := spec.evaluation.max_samples) is not None:
        evaluation = evaluation.part(range(min(limit, len(evaluation))))
    return data, evaluation


def _tokens(
    job: ResolvedJob,
    source: DataSource,
    path: str | None,
    read: Callable[[], list[Example]],
    renderer: Renderer,
    recipe: Recipe[Data],
) -> TokenizedDataset:
    """The sequences of one source, from the store where they are there."""
    dataset = job.spec.dataset
    directory = Path(job.paths.run_directory) / CACHE
    asked = dataset.preprocessing.workers
    # one rank hashes the files for all; they could not agree on what changes meanwhile, either
    key = on_first_rank(lambda: cache_key(dataset, source, path, renderer, recipe.name))
    if dataset.streaming:
        return cached_stream(
            directory,
            key or key_of_attempt(job, source),
            lambda: recipe.make(stream_examples(dataset, source, path), renderer, asked or usable_cpus()),
        )

    def make() -> TokenizedDataset:
        examples = read()
        return in_memory(recipe.make(examples, renderer, worker_count(asked, len(examples))))

    return cached(directory, key, make)
