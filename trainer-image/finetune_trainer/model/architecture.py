"""What validation would have said, had the catalog known the model: asked once its configuration is read."""

from typing import Any, Final

from transformers import AutoConfig

from finetune_api.catalog.architecture import Architecture
from finetune_api.catalog.families import FAMILIES
from finetune_api.job import FineTuneJobSpec
from finetune_api.validation.rules.reach import reach_of
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.model.models import LOAD_ERRORS

FAMILY_OF: Final = {"gemma3_text": "gemma3"}
"""The catalog's name of a family, where transformers has another one for its text model."""


def refuse_unreached(spec: FineTuneJobSpec, place: str) -> None:
    """Raises `InvalidConfigError` for what does not reach the layers of the model, in the validator's words.

    `place` is where the model's configuration is: a directory or a hub id. One that cannot be read, or is of
    a family that the catalog does not know, is left to who loads the model.
    """
    try:
        config = AutoConfig.from_pretrained(
            place,
            revision=spec.model.revision or "main",
            trust_remote_code=spec.model.trust_remote_code,
        )
    except LOAD_ERRORS:
        return
    architecture = architecture_in(config.get_text_config())
    if architecture is None:
        return
    for finding in reach_of(spec, architecture):
        if finding.severity == "error":
            raise InvalidConfigError(str(finding))


def architecture_in(config: Any) -> Architecture | None:
    """The numbers in a configuration of transformers; None for a family that the catalog does not know."""
    family = FAMILY_OF.get(config.model_type, config.model_type)
    if family not in FAMILIES:
        return None
    heads, hidden = config.num_attention_heads, config.hidden_size
    experts = _first(config, "num_local_experts", "num_experts") or 1
    width = _first(config, "moe_intermediate_size") if experts > 1 else None
    return Architecture(
        family=family,
        hidden=hidden,
        layers=config.num_hidden_layers,
        heads=heads,
        key_value_heads=_first(config, "num_key_value_heads") or heads,
        head_size=_first(config, "head_dim") or hidden // heads,
        feed_forward=width or _first(config, "n_inner", "intermediate_size") or 4 * hidden,
        vocabulary=config.vocab_size,
        context=config.max_position_embeddings,
        tied=config.tie_word_embeddings,
        experts=experts,
        active_experts=_first(config, "num_experts_per_tok") or 1,
    )


def _first(config: Any, *names: str) -> int | None:
    """The first of several settings that a configuration has."""
    return next((value for name in names if (value := getattr(config, name, None)) is not None), None)
