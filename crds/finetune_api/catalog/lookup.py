"""Finding a model's architecture by what a job says."""

from functools import cache

from finetune_api.catalog.architecture import Architecture
from finetune_api.catalog.models import MODELS, CatalogModel
from finetune_api.model import ArchitectureSpec, ModelSpec

DEFAULT_VOCABULARY = 32000


@cache
def _by_id() -> dict[str, CatalogModel]:
    return {id.lower(): model for model in MODELS for id in (model.id, *model.aliases)}


def find_model(id: str) -> CatalogModel | None:
    """The catalog's entry for an id of the hub; None where the catalog does not know it."""
    return _by_id().get(id.lower())


def architecture_of(model: ModelSpec) -> Architecture | None:
    """The architecture of a job's model; None where neither the catalog nor `model.config` says it."""
    if model.config is not None:
        trained = model.tokenizer.train
        return from_spec(model.config, trained.vocab_size if trained else DEFAULT_VOCABULARY)
    if model.id is None:
        return None
    known = find_model(model.id)
    return known.architecture if known else None


def from_spec(spec: ArchitectureSpec, tokenizer_vocabulary: int) -> Architecture:
    """The architecture of a model from scratch; its vocabulary is the tokenizer's where the spec has none."""
    return Architecture(
        family=spec.architecture,
        hidden=spec.hidden_size,
        layers=spec.layers,
        heads=spec.attention_heads,
        key_value_heads=spec.key_value_heads or spec.attention_heads,
        head_size=spec.head_dimension or max(1, spec.hidden_size // spec.attention_heads),
        feed_forward=spec.intermediate_size or 4 * spec.hidden_size,
        vocabulary=spec.vocab_size or tokenizer_vocabulary,
        context=spec.max_position_embeddings,
        tied=spec.tie_word_embeddings,
        experts=spec.expert_count,
        active_experts=spec.active_experts,
    )
