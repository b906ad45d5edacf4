"""Reads, renders and counts; the tokenizer is loaded, the model is not."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from finetune_api.dataset import DataSource
from finetune_api.resolved import ResolvedJob
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
from finetune_trainer.data.check.stages import items_of, problem_of, sequences_of, sides_of
from finetune_trainer.data.dataset import DataFacts, TokenizedDataset
from finetune_trainer.data.dataset import held_out as divide
from finetune_trainer.data.download import fetch_sources
from finetune_trainer.data.examples import (
    BrokenRecord,
    Example,
    Record,
    texts,
)
from finetune_trainer.data.formats import FORMATS
from finetune_trainer.data.loading import read_examples, sample
from finetune_trainer.data.packing import pack
from finetune_trainer.data.preparation import renderer_for
from finetune_trainer.data.prompts import repeated
from finetune_trainer.data.reading import find_files
from finetune_trainer.data.rendering import IGNORED, Renderer, Tokens
from finetune_trainer.data.sampling import GlobalOrder
from finetune_trainer.errors import DataError
from finetune_trainer.tokenizers import Tokenizer, complete_tokenizer, load_tokenizer, train_tokenizer

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
    renderer = renderer_for(spec, tokenizer)
    part, data = _measure("train", train, renderer, spec.training.stage)
    evaluation: Part | None = None
    repeated_in_eval: list[Duplicate] = []
    if spec.dataset.eval is not None:
        read = _read(job, spec.dataset.eval, job.paths.eval)
        evaluation, _ = _measure("eval", read, renderer, spec.training.stage)
        repeated_in_eval = overlaps(train.examples, read.examples)
    steps, held_out = None, 0
    if data is not None:
        items = items_of(data, train.examples, renderer, spec.training.stage)
        trained, kept_back = divide(len(items), spec.dataset.eval_split, spec.training.seed)
        held_out = len(kept_back)
        if held_out:
            repeated_in_eval = overlaps_of_split(
                train.examples, trained=items.origins(trained), held_out=items.origins(kept_back)
            )
        steps = _steps(job, items.part(trained).lengths())
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
        remarks=remarks(part, evaluation, steps, len(repeated_in_eval), train.examples),
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
    return complete_tokenizer(
        tokenizer, model, use_chat_template=job.spec.dataset.preprocessing.use_chat_template
    )


def _measure(
    name: str, read: _Source, renderer: Renderer, stage: str
) -> tuple[Part, TokenizedDataset | None]:
    rendered: list[Tokens] = []
    for example in read.examples:
        if (problem := problem_of(stage, example)) is not None:
            read.add_broken(Problem(str(example.origin), problem))
        try:
            rendered += [renderer(side) for side in sides_of(example)]
        except DataError as error:
            read.add_broken(Problem(str(example.origin), str(error).removeprefix(f"{example.origin}: ")))
    data: TokenizedDataset | None = None
    facts = DataFacts(len(rendered), 0, 0, 0, unsupervised=len(rendered))
    if rendered:
        try:
            data = sequences_of(stage, read.examples, rendered, renderer)
            facts = data.facts
        except DataError:
            # nothing is left to train on: the part says so with no sequences
            data = None
    repeats = duplicates(read.examples)
    unsupervised = [str(tokens.origin) for tokens in rendered if not tokens.supervised]
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
        first_unsupervised=unsupervised[:SHOWN],
        ended=sum(_ends(tokens, renderer) for tokens in data.sequences) if data is not None else 0,
        continues=read.continues,
    )
    return part, data


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


def _steps(job: ResolvedJob, lengths: list[int]) -> Steps:
    training = job.spec.training
    packs: list[list[int]] | None = None
    if job.spec.dataset.packing:
        packs = pack(lengths, training.max_sequence_length)
        lengths = [sum(lengths[index] for index in members) for members in packs]
    order = GlobalOrder(
        size=len(lengths),
        global_batch=job.effective_batch_size,
        seed=training.seed if training.data_seed is None else training.data_seed,
        shuffle=training.sampling != "sequential",
        lengths=lengths if training.sampling == "groupByLength" else None,
    )
    order = repeated(order, training)
    epoch = order.epoch(0)
    batches = [
        [lengths[index] for index in epoch[start : start + training.micro_batch_size] if index < len(lengths)]
        for start in range(0, len(epoch), training.micro_batch_size)
    ]
    computed = sum(max(batch) * len(batch) for batch in batches if batch)
    total = training.max_steps or math.ceil(training.epochs * order.steps_per_epoch)
    return Steps(
        effective_batch_size=job.effective_batch_size,
        steps_per_epoch=order.steps_per_epoch,
        total_steps=total,
        packed_sequences=len(packs) if packs is not None else None,
        filled_share=round(sum(lengths[index] for index in epoch if index < len(lengths)) / computed, 4),
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
