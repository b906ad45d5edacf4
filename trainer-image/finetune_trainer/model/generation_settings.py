"""What a model tells whoever lets it generate: the settings in its `generation_config.json`.

A result has them beside its weights, an adapter too: its base may know no end but that of a text, and a
server that asks the base alone would go on behind the end of each answer.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transformers import GenerationConfig

log = logging.getLogger(__name__)


def settle(model: Any, ends: Iterable[int]) -> None:
    """Makes a loaded model's settings true for what it is taught, whose answers end with these tokens, and
    such that they can be written. A model that generates nothing has none."""
    own = getattr(model, "generation_config", None)
    if own is None:
        return
    known = own.eos_token_id
    own.eos_token_id = sorted({*ends, *(known if isinstance(known, list) else [known])} - {None})
    model.generation_config = writable(own)


def writable(settings: GenerationConfig) -> GenerationConfig:
    """Settings that transformers writes although something of them was changed: many a published base says
    how to sample without saying that it is to be sampled, and is refused then. So it says both; of settings
    that are at odds otherwise the tokens are left."""
    if _is_consistent(settings):
        return settings
    settings.do_sample = True
    if _is_consistent(settings):
        return settings
    log.warning("the base's generation_config.json is at odds with itself: only its tokens are kept")
    tokens = ("bos_token_id", "eos_token_id", "pad_token_id")
    return GenerationConfig(**{name: getattr(settings, name) for name in tokens})


def write_beside(model: Any, adapter: Path) -> None:
    """Writes the settings of an adapted model into the directory of its adapter. Raises `OSError`."""
    own = getattr(model.get_base_model(), "generation_config", None)
    if own is not None:
        own.save_pretrained(adapter)


def take_up(base: Any, adapter: Path | str) -> None:
    """Gives a base the settings that lie beside an adapter of it, where some do: a directory or a hub id."""
    try:
        settings = GenerationConfig.from_pretrained(adapter)
    except OSError:
        return
    base.generation_config = settings


def _is_consistent(settings: GenerationConfig) -> bool:
    try:
        settings.validate(strict=True)
    except ValueError:
        return False
    return True
