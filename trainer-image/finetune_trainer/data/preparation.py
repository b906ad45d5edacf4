"""From examples to what is trained on: tokens, held-out part, packs; all as the job asks."""

import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from finetune_api.dataset import DataSource
from finetune_api.job import FineTuneJobSpec
from finetune_api.resolved import ResolvedJob
from finetune_trainer.cpus import usable_cpus
from finetune_trainer.data.cache import cache_key, cached, cached_stream
from finetune_trainer.data.dataset import (
    DataFacts,
    Sieve,
    TokenizedDataset,
    cut_stream,
    split,
    tokenize,
    tokenize_as_stream,
    unlimited,
)
from finetune_trainer.data.examples import Example
from finetune_trainer.data.loading import load_examples, stream_examples
from finetune_trainer.data.packed import PackedDataset, pack_dataset
from finetune_trainer.data.rendering import Renderer, Supervise, Tokens
from finetune_trainer.data.workers import render_each
from finetune_trainer.tokenizers import Tokenizer

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
    renderer = renderer_for(spec, tokenizer)
    directory = Path(job.paths.run_directory) / CACHE

    def tokens(source: DataSource, path: str | None, read: Callable[[], list[Example]]) -> TokenizedDataset:
        key = cache_key(spec.dataset, path, renderer, stream=is_stream(spec))
        if spec.dataset.streaming:
            return cached_stream(
                directory,
                key or _key_of_attempt(job, source),
                lambda: _streamed(spec, source, path, renderer),
            )
        to_tokens = tokenize_as_stream if is_stream(spec) else tokenize
        return cached(directory, key, lambda: to_tokens(read(), renderer))

    data = tokens(spec.dataset.train, job.paths.train, examples)
    evaluation: TokenizedDataset | None
    if (source := spec.dataset.eval) is None:
        data, evaluation = split(data, spec.dataset.eval_split, spec.training.seed)
    else:
        evaluation = tokens(
            source, job.paths.eval, lambda: load_examples(spec.dataset, source, job.paths.eval)
        )
    if evaluation is not None and (limit := spec.evaluation.max_samples) is not None:
        evaluation = TokenizedDataset(evaluation.sequences[:limit], evaluation.facts)
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


def _streamed(
    spec: FineTuneJobSpec, source: DataSource, path: str | None, renderer: Renderer
) -> tuple[Iterator[Tokens], Callable[[], DataFacts]]:
    """The sequences of a source as they are read, and what became of its records afterwards."""
    workers = spec.dataset.preprocessing.workers or usable_cpus()
    sieve = Sieve(renderer)
    examples = stream_examples(spec.dataset, source, path)
    if not is_stream(spec):
        return sieve(render_each(examples, renderer, workers)), sieve.facts
    documents = 0

    def counted() -> Iterator[Example]:
        nonlocal documents
        for example in examples:
            documents += 1
            yield example

    parts = render_each(counted(), unlimited(renderer), workers)
    sequences = sieve(cut_stream(parts, renderer.max_length))
    return sequences, lambda: replace(sieve.facts(), records=documents)


def _key_of_attempt(job: ResolvedJob, source: DataSource) -> str:
    """For data without files here, which may have changed since the attempt before."""
    identity = f"{job.job.uid} {job.attempt} {source.to_json_object()}"
    return hashlib.sha256(identity.encode("utf-8")).hexdigest()
