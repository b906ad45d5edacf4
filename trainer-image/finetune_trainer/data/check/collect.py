"""Reads, renders and counts; the tokenizer is loaded, the model is not."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise

import numpy as np

from finetune_api.dataset import DataSource
from finetune_api.resolved import ResolvedJob
from finetune_trainer.data.asking import job_tokenizer
from finetune_trainer.data.check.encoding import encoding_of
from finetune_trainer.data.check.quality import remarks
from finetune_trainer.data.check.repeats import duplicates, overlaps, overlaps_of_split
from finetune_trainer.data.check.report import (
    SHOWN,
    Bar,
    Column,
    DataFile,
    DataReport,
    Duplicate,
    Lengths,
    Part,
    Piece,
    Problem,
    RenderedSample,
    Steps,
)
from finetune_trainer.data.dataset import TokenizedDataset
from finetune_trainer.data.download import fetch_sources
from finetune_trainer.data.examples import BrokenRecord, Example, Origin, Record, texts
from finetune_trainer.data.formats import FORMATS
from finetune_trainer.data.loading import lost_columns, read_examples, sample
from finetune_trainer.data.making import Recipe
from finetune_trainer.data.order import data_order
from finetune_trainer.data.packed import PackedDataset
from finetune_trainer.data.preparation import divided, packed
from finetune_trainer.data.reading import find_files
from finetune_trainer.data.recipes import recipe_for
from finetune_trainer.data.rendering import IGNORED, Renderer, Tokens
from finetune_trainer.data.sampling import total_steps
from finetune_trainer.data.training_data import Divisible, TrainingData
from finetune_trainer.data.workers import chunks, spread, worker_count
from finetune_trainer.errors import DataError
from finetune_trainer.model.tokenizers import Tokenizer, load_tokenizer, train_tokenizer

BARS = 20


def check_data(job: ResolvedJob, samples: int = 3) -> DataReport:
    """The report on a job's data, with so many rendered samples.

    Raises `DataError` when there is no data at all, `ModelLoadError` and `InvalidConfigError` when there is
    no usable tokenizer.
    """
    job = fetch_sources(job)
    spec = job.spec
    train = _read(job, spec.dataset.train, job.paths.train)
    tokenizer = _tokenizer(job, train.examples)
    recipe = recipe_for(job, tokenizer)
    part, data = _measure("train", train, recipe, spec.dataset.preprocessing.workers)
    evaluation: Part | None = None
    repeated_in_eval: list[Duplicate] = []
    if spec.dataset.eval is not None:
        read = _read(job, spec.dataset.eval, job.paths.eval)
        evaluation, _ = _measure("eval", read, recipe, spec.dataset.preprocessing.workers)
        repeated_in_eval = overlaps(train.examples, read.examples)
    steps, held_out = None, 0
    if data is not None:
        trained, kept_back = divided(spec, recipe.wrap(data))
        if kept_back is not None:
            held_out = len(kept_back)
            repeated_in_eval = overlaps_of_split(
                train.examples, trained=_origins(trained), held_out=_origins(kept_back)
            )
        steps = _steps(job, packed(spec, trained))
    return DataReport(
        job=job.job.name,
        format=spec.dataset.format,
        train=part,
        eval=evaluation,
        held_out=held_out,
        overlap=len(repeated_in_eval),
        first_overlaps=repeated_in_eval[:SHOWN],
        steps=steps,
        samples=_samples(tokenizer, data, samples) if data is not None else [],
        remarks=remarks(
            part,
            evaluation,
            steps,
            len(repeated_in_eval),
            train.examples,
            [] if train.continues else lost_columns(spec.dataset, train.columns),
        ),
    )


class _Source:
    """What was read of one source."""

    def __init__(self) -> None:
        self.files: list[DataFile] = []
        self.examples: list[Example] = []
        self.broken = 0
        self.first_broken: list[Problem] = []
        self.columns: Counter[str] = Counter()
        self.continues = False

    def add_broken(self, problem: Problem) -> None:
        """Millions may be: those that are shown are kept."""
        self.broken += 1
        if len(self.first_broken) < SHOWN:
            self.first_broken.append(problem)

    def see(self, record: Record) -> None:
        # keys that formats add for themselves begin with a NUL
        self.columns.update(str(name) for name in record.fields if not str(name).startswith("\0"))


def _read(job: ResolvedJob, source: DataSource, path: str | None) -> _Source:
    read = _Source()
    dataset = job.spec.dataset
    if path is not None and (format_ := FORMATS.get(dataset.format)) is not None:
        for file in find_files(path, format_.suffixes):
            read.files.append(DataFile(file.name, file.stat().st_size, encoding_of(file)))
    found = read_examples(dataset, source, path, read.see)
    for item in sample(found) if dataset.streaming else found:
        if isinstance(item, BrokenRecord):
            read.add_broken(Problem(str(item.origin), item.problem))
        else:
            read.examples.append(item)
    counted = read.columns.copy()
    read.continues = next(found, None) is not None
    read.columns = counted
    if not read.examples and not read.broken:
        raise DataError(f"dataset: {path or source} holds no records")
    return read


def _tokenizer(job: ResolvedJob, examples: list[Example]) -> Tokenizer:
    model = job.spec.model
    if model.config is None:
        base = model.path or str(model.id)
        tokenizer = load_tokenizer(model, base=base, revision=model.revision)
    elif model.tokenizer.train is not None:
        tokenizer = train_tokenizer(texts(examples), model.tokenizer.train)
    else:
        tokenizer = load_tokenizer(model, base="", revision=None)
    return job_tokenizer(tokenizer, job.spec)


def _measure(
    name: str, read: _Source, recipe: Recipe[Divisible], asked: int | None
) -> tuple[Part, TokenizedDataset | None]:
    """What the stage makes of a source, by its own steps, in as many processes as a run would have. Examples
    that it cannot use go to the broken ones."""
    rendered = list(_rendered(read, recipe, worker_count(asked, len(read.examples))))
    sieve = recipe.sieve()
    sequences = list(sieve(rendered))
    facts = sieve.counts
    repeats = duplicates(read.examples)
    part = Part(
        name=name,
        files=read.files,
        records=len(read.examples),
        broken=read.broken,
        first_broken=read.first_broken,
        duplicates=len(repeats),
        first_duplicates=repeats[:SHOWN],
        columns=[Column(column, count) for column, count in read.columns.most_common()],
        lengths=_lengths([len(tokens.ids) + tokens.cut for tokens in rendered]),
        sequences=facts.sequences,
        tokens=facts.tokens,
        supervised_tokens=facts.supervised_tokens,
        truncated=facts.truncated,
        cut_tokens=facts.cut_tokens,
        cut_supervised_tokens=facts.cut_supervised_tokens,
        unsupervised=facts.unsupervised,
        first_unsupervised=[str(origin) for origin in sieve.unsupervised],
        ended=sum(_ends(tokens, recipe.renderer) for tokens in sequences),
        continues=read.continues,
        drawn=recipe.drawn,
    )
    return part, TokenizedDataset(sequences, facts) if sequences else None


def _rendered(read: _Source, recipe: Recipe[Divisible], workers: int) -> Iterator[Tokens]:
    """The sequences of all examples that the stage can use, which are those that are left in `read`."""
    usable: list[Example] = []
    parts = list(chunks(read.examples))
    for part, made in zip(parts, spread(parts, partial(_sequences, recipe), workers), strict=True):
        for example, found in zip(part, made, strict=True):
            if isinstance(found, Problem):
                read.add_broken(found)
            else:
                usable.append(example)
                yield from found
    read.examples = usable


def _sequences(recipe: Recipe[Divisible], examples: list[Example]) -> list[list[Tokens] | Problem]:
    """Those of each example, or why the stage cannot use it."""
    try:
        parted = [list(recipe.parts(example)) for example in examples]
        tokens = iter(recipe.renderer.all([part for parts in parted for part, _ in parts]))
        return [[next(tokens) for _ in parts] for parts in parted]
    except DataError as error:
        if len(examples) == 1:
            origin = str(examples[0].origin)
            return [Problem(origin, str(error).removeprefix(f"{origin}: "))]
    # one of them, or more: each by itself, then
    return [found for example in examples for found in _sequences(recipe, [example])]


def _origins(data: Divisible) -> list[Origin]:
    return data.origins(range(len(data)))


def _ends(tokens: Tokens, renderer: Renderer) -> bool:
    supervised = np.flatnonzero(tokens.labels != IGNORED)
    return bool(supervised.size) and renderer.is_end(int(tokens.ids[supervised[-1]]))


def _lengths(lengths: Sequence[int]) -> Lengths | None:
    if not lengths:
        return None
    values = np.asarray(lengths)
    # whole numbers of tokens per bar, so that no bar is narrower than another
    width = max(1, -(-(int(values.max()) - int(values.min()) + 1) // BARS))
    edges = np.arange(int(values.min()), int(values.max()) + width + 1, width)
    counts, _ = np.histogram(values, bins=edges)
    bars = [
        Bar(int(start), int(end), int(count))
        for start, end, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    return Lengths(
        shortest=int(values.min()),
        median=int(np.median(values)),
        mean=round(float(values.mean()), 1),
        p95=int(np.percentile(values, 95)),
        longest=int(values.max()),
        histogram=bars,
    )


def _steps(job: ResolvedJob, data: TrainingData) -> Steps:
    training = job.spec.training
    order, lengths = data_order(job, data), data.lengths()
    epoch = order.epoch(0)
    batches = [
        [
            lengths[index]
            for index in epoch[start : start + training.sequences_per_pass]
            if index < len(lengths)
        ]
        for start in range(0, len(epoch), training.sequences_per_pass)
    ]
    computed = sum(max(batch) * len(batch) for batch in batches if batch)
    return Steps(
        effective_batch_size=job.effective_batch_size,
        steps_per_epoch=order.steps_per_epoch,
        total_steps=total_steps(training, order.steps_per_epoch),
        packed_sequences=len(data) if isinstance(data, PackedDataset) else None,
        filled_share=round(sum(sum(batch) for batch in batches) / computed, 4),
    )


def _samples(tokenizer: Tokenizer, data: TokenizedDataset, count: int) -> list[RenderedSample]:
    chosen = sorted({round(index) for index in np.linspace(0, len(data) - 1, min(count, len(data)))})
    return [_sample(tokenizer, data.sequences[index]) for index in chosen]


def _sample(tokenizer: Tokenizer, tokens: Tokens) -> RenderedSample:
    supervised = tokens.labels != IGNORED
    borders = [0, *(np.flatnonzero(np.diff(supervised)) + 1).tolist(), len(tokens.ids)]
    pieces = [
        Piece(str(tokenizer.decode(tokens.ids[start:end].tolist())), bool(supervised[start]))
        for start, end in pairwise(borders)
    ]
    return RenderedSample(str(tokens.origin), len(tokens.ids), pieces)
