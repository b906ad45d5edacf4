"""The other programs whose files are read, and which of them a file is for."""

from typing import Any, Final

from finetune_cli.foreign import axolotl, engine, framework, llamafactory, llamafarm, trl, wizard

DOCUMENTS: Final = (wizard, framework, llamafarm, axolotl, engine, llamafactory, trl)
"""In the order in which a file is recognised."""

FORMATS: Final = tuple(known.NAME for known in DOCUMENTS)

TITLES: Final = {
    "wizard": "the wizard's form",
    "framework": "the YAML framework",
    "llamafarm": "LlamaFarm",
    "axolotl": "Axolotl",
    "engine": "the training engine",
    "llamafactory": "LLaMA-Factory",
    "trl": "TRL",
}
"""What each is called in a sentence."""


def program_of(document: dict[str, Any]) -> str | None:
    """Return the name of the program that a configuration is for; None where it is not recognised."""
    return next((known.NAME for known in DOCUMENTS if known.recognises(document)), None)
