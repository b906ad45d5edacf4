"""From examples to what is trained on: tokens, held-out part, packs; all as the job asks."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from finetune_api.dataset import DataSource
from finetune_api.job import FineTuneJobSpec
from finetune_api.resolved import ResolvedJob
from finetune_trainer.cpus import usable_cpus
from finetune_trainer.data.cache import cached, cached_stream
from finetune_trainer.data.cache_key import cache_key, key_of_attempt
from finetune_trainer.data.dataset import TokenizedDataset, held_out
from finetune_trainer.data.examples import Example
from finetune_trainer.data.loading import load_examples, stream_examples
from finetune_trainer.data.making import Recipe, in_memory
from finetune_trainer.data.packed import pack_dataset
from finetune_trainer.data.rendering import Renderer, Supervise
from finetune_trainer.data.training_data import Divisible, TrainingData
from finetune_trainer.data.workers import worker_count
from finetune_trainer.distributed import on_first_rank
from finetune_trainer.errors import DataError, InvalidConfigError
from finetune_trainer.model.tokenizers import Tokenizer

Examples = Callable[[], list[Example]]
Data = TypeVar("Data", bound=Divisible)

CACHE = "data"
"""Directory of tokenised data within the run directory."""

log = logging.getLogger(__name__)


def renderer_for(spec: FineTuneJobSpec, tokenizer: Tokenizer) -> Renderer:
    """How this job's examples become tokens."""
    longest = spec.training.max_sequence_length
    return Renderer(tokenizer, spec.dataset.preprocessing, longest, supervised(spec))


def supervised(spec: FineTuneJobSpec) -> Supervise:
    """What the loss counts: as asked for, else all of a stream of text and the answers of anything else."""
    asked = spec.dataset.preprocessing.supervise
    if asked != "auto":
        return asked
    return "all" if spec.training.stage == "pretrain" else "answers"


def prepare_data(
    job: ResolvedJob, examples: Examples, recipe: Recipe[Divisible]
) -> tuple[TrainingData, TrainingData | None]:
    """Training and evaluation data of a stage as the job asks: the latter from a source of its own, or held
    out; only the former is packed. Every stage's data is made here, and kept in the one store. All ranks call
    it alike.

    `examples` reads the training data; it is called when its tokens are not in the store. Raises `DataError`,
    and what making the data raises.
    """
    spec = job.spec
    whole = recipe.wrap(_tokens(job, spec.dataset.train, job.paths.train, examples, recipe))
    data, evaluation = divided(spec, whole)
    if (source := spec.dataset.eval) is not None:
        path = job.paths.eval
        read = lambda: load_examples(spec.dataset, source, path)  # noqa: E731
        try:
            evaluation = recipe.wrap(_tokens(job, source, path, read, recipe))
        except DataError as error:
            raise DataError(f"dataset.eval: {error}") from error
    if evaluation is not None and (limit := spec.evaluation.max_samples) is not None:
        evaluation = evaluation.part(range(min(limit, len(evaluation))))
    facts = whole.facts
    log.info(
        "%s: %d sequences of %d tokens, %d of them supervised",
        recipe.name,
        facts.sequences,
        facts.tokens,
        facts.supervised_tokens,
    )
    return packed(spec, data), evaluation


def divided(spec: FineTuneJobSpec, data: Data) -> tuple[Data, Data | None]:
    """What is trained on and, with `dataset.evalSplit`, what is held out. Raises `DataError` when nothing
    would be left to train on."""
    train, kept_back = held_out(len(data), spec.dataset.eval_split, spec.training.seed_of_data)
    return (data.part(train), data.part(kept_back)) if kept_back else (data, None)


def packed(spec: FineTuneJobSpec, data: TrainingData) -> TrainingData:
    """The data in packs, where the job asks for them; only sequences that are learned by themselves can
    be."""
    if not spec.dataset.packing:
        return data
    if not isinstance(data, TokenizedDataset):
        raise InvalidConfigError(
            f"dataset.packing: training.stage {spec.training.stage} has no packs. Set it to false"
        )
    longest = spec.training.max_sequence_length
    packs = pack_dataset(data, longest)
    full = packs.facts.tokens / (len(packs) * longest)
    log.info(
        "%d records are packed into %d sequences, which are %.1f %% full", len(data), len(packs), 100 * full
    )
    return packs


def _tokens(
    job: ResolvedJob, source: DataSource, path: str | None, read: Examples, recipe: Recipe[Divisible]
) -> TokenizedDataset:
    """The sequences of one source, from the store where they are there."""
    dataset = job.spec.dataset
    directory = Path(job.paths.run_directory) / CACHE
    asked = dataset.preprocessing.workers
    # one rank hashes the files for all; they could not agree on what changes meanwhile, either
    key = on_first_rank(lambda: cache_key(dataset, source, path, recipe.renderer, recipe.name))
    if dataset.streaming:
        return cached_stream(
            directory,
            key or key_of_attempt(job, source),
            lambda: recipe.make(stream_examples(dataset, source, path), asked or usable_cpus()),
        )

    def make() -> TokenizedDataset:
        examples = read()
        return in_memory(recipe.make(examples, worker_count(asked, len(examples))))

    return cached(directory, key, make)
