"""From examples to what is trained on: tokens, held-out part, packs; all as the job asks."""

import logging

from finetune_api.job import FineTuneJobSpec
from finetune_api.resolved import ResolvedJob
from finetune_trainer.data.dataset import TokenizedDataset, split, tokenize, tokenize_as_stream
from finetune_trainer.data.examples import Example
from finetune_trainer.data.loading import load_examples
from finetune_trainer.data.packed import PackedDataset, pack_dataset
from finetune_trainer.data.rendering import Renderer, Supervise
from finetune_trainer.tokenizers import Tokenizer

log = logging.getLogger(__name__)


def renderer_for(spec: FineTuneJobSpec, tokenizer: Tokenizer) -> Renderer:
    """How this job's examples become tokens."""
    asked = spec.dataset.preprocessing.supervise
    supervise: Supervise = asked if asked != "auto" else "all" if is_stream(spec) else "answers"
    return Renderer(tokenizer, spec.dataset.preprocessing, spec.training.max_sequence_length, supervise)


def is_stream(spec: FineTuneJobSpec) -> bool:
    """Whether the data is one stream of text, cut into sequences."""
    return spec.training.stage == "pretrain"


def prepare_data(
    job: ResolvedJob, examples: list[Example], tokenizer: Tokenizer
) -> tuple[TokenizedDataset | PackedDataset, TokenizedDataset | None]:
    """Training and evaluation data as tokens; only the former is packed. Every rank does this for itself:
    the data is the same on all of them, and none waits for another long enough to trip the collective's
    timeout."""
    spec = job.spec
    renderer = renderer_for(spec, tokenizer)
    to_tokens = tokenize_as_stream if is_stream(spec) else tokenize
    data = to_tokens(examples, renderer)
    if spec.dataset.eval is None:
        data, evaluation = split(data, spec.dataset.eval_split, spec.training.seed)
    else:
        evaluation = to_tokens(load_examples(spec.dataset, spec.dataset.eval, job.paths.eval), renderer)
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
