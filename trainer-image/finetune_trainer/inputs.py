"""What a run learns from and starts with: data, tokenizer, base model, and what its stage makes of them."""

from dataclasses import dataclass
from functools import cache

from finetune_api.dataset import DataSource
from finetune_api.resolved import ResolvedJob
from finetune_trainer.bases import prepare_base
from finetune_trainer.data.commits import at_commit
from finetune_trainer.data.download import fetch_sources
from finetune_trainer.data.loading import load_examples
from finetune_trainer.data.training_data import TrainingData
from finetune_trainer.stages import stage_for
from finetune_trainer.stages.base import Stage
from finetune_trainer.tokenizers import Tokenizer


@dataclass(frozen=True)
class Inputs:
    """The same on every rank."""

    job: ResolvedJob
    """Its data sources are files of this machine."""
    train: DataSource
    """Where the training data was read: on the hub, with its commit where that is known."""
    stage: Stage
    tokenizer: Tokenizer
    base: str
    """Directory or hub id of the base model."""
    data: TrainingData
    evaluation: TrainingData | None


def prepare_inputs(job: ResolvedJob) -> Inputs:
    """Fetches, reads and tokenizes what is not there yet from another rank or an earlier attempt; makes the
    base of a run from scratch. Raises `DataError`, `InvalidConfigError`, `StorageError`."""
    job = fetch_sources(job)
    # read only where the tokens, or the tokenizer, are not there
    dataset = job.spec.dataset
    # a stream is read elsewhere, by one rank for all
    train = dataset.train if dataset.streaming else at_commit(dataset.train)
    examples = cache(lambda: load_examples(dataset, train, job.paths.train))
    tokenizer, base = prepare_base(job, examples)
    stage = stage_for(job.spec.training)
    data, evaluation = stage.prepare(job, examples, tokenizer)
    return Inputs(
        job=job, train=train, stage=stage, tokenizer=tokenizer, base=base, data=data, evaluation=evaluation
    )
