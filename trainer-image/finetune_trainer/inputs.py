"""What a run learns from and starts with: data, tokenizer, base model, and what its stage makes of them."""

from dataclasses import dataclass
from functools import cache

from finetune_api.resolved import ResolvedJob
from finetune_trainer.bases import prepare_base
from finetune_trainer.data.commits import at_commits
from finetune_trainer.data.download import fetch_sources
from finetune_trainer.data.loading import load_examples
from finetune_trainer.data.recipes import prepare
from finetune_trainer.data.training_data import TrainingData
from finetune_trainer.distributed import on_first_rank
from finetune_trainer.model.tokenizers import Tokenizer
from finetune_trainer.stages import stage_for
from finetune_trainer.stages.base import Stage


@dataclass(frozen=True)
class Inputs:
    """The same on every rank."""

    job: ResolvedJob
    """Its data sources are files of this machine."""
    read: ResolvedJob
    """The same, with the commit at which data of the hub was read where that is known. It is no part of the
    run's lineage, so that a resumed run may find its branch at another commit."""
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
    # one rank asks: a branch may move between two questions
    dataset = on_first_rank(lambda: at_commits(job.spec.dataset))
    read = job.model_copy(update={"spec": job.spec.model_copy(update={"dataset": dataset})})
    # read only where the tokens, or the tokenizer, are not there
    examples = cache(lambda: load_examples(dataset, dataset.train, job.paths.train))
    tokenizer, base = prepare_base(job, examples)
    stage = stage_for(job.spec.training)
    data, evaluation = prepare(read, examples, tokenizer)
    return Inputs(
        job=job, read=read, stage=stage, tokenizer=tokenizer, base=base, data=data, evaluation=evaluation
    )
