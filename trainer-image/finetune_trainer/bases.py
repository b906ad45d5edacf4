"""The base model of a job: one that is there, or one that is made from scratch with its tokenizer."""

from collections.abc import Callable
from pathlib import Path

from finetune_api.lineage import lineage_hash
from finetune_api.resolved import ResolvedJob
from finetune_trainer.data.asking import job_tokenizer
from finetune_trainer.data.cache import exclusive
from finetune_trainer.data.examples import Example, texts
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.files import staged_as, sync_tree
from finetune_trainer.model.models import create_base
from finetune_trainer.model.tokenizers import Tokenizer, load_tokenizer, train_tokenizer


def prepare_base(job: ResolvedJob, examples: Callable[[], list[Example]]) -> tuple[Tokenizer, str]:
    """The tokenizer, and the directory or hub id of the base model. A model from scratch is made by one rank,
    in the run directory, and read by all."""
    model = job.spec.model
    if model.config is None:
        base = model.path or str(model.id)
        tokenizer = load_tokenizer(model, base=base, revision=model.revision)
        return job_tokenizer(tokenizer, job.spec), base
    base_directory = Path(job.paths.run_directory) / f"base-{lineage_hash(job.spec)[:12]}"
    # a file lock, no collective: training a tokenizer may take longer than ranks wait for one another
    with exclusive(base_directory.with_name(f"{base_directory.name}.lock")) as alone:
        if not base_directory.exists():
            with staged_as(base_directory, alone=alone) as staged:
                _make_base(job, examples, staged)
                sync_tree(staged)
    bare = model.model_copy(
        update={"tokenizer": model.tokenizer.model_copy(update={"path": None, "id": None})}
    )
    tokenizer = load_tokenizer(bare, base=str(base_directory), revision=None)
    return job_tokenizer(tokenizer, job.spec), str(base_directory)


def _make_base(job: ResolvedJob, examples: Callable[[], list[Example]], directory: Path) -> None:
    """Writes an untrained model and its tokenizer. Raises `InvalidConfigError`."""
    model, training = job.spec.model, job.spec.training
    if model.config is None:
        raise AssertionError("only a model with a config is made from scratch")
    if model.tokenizer.train is not None:
        tokenizer = train_tokenizer(texts(examples()), model.tokenizer.train)
    elif model.tokenizer.path or model.tokenizer.id:
        tokenizer = load_tokenizer(model, base="", revision=None)
    else:
        raise InvalidConfigError(
            "model.tokenizer: a model from scratch has none of its own. Set model.tokenizer.train, path or id"
        )
    create_base(model.config, job_tokenizer(tokenizer, job.spec), directory, training.seed)
