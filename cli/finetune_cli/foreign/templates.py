"""Chat templates by the names that other programs have for them. Of two that are one of ours, the first is
written.

LLaMA-Factory as of its commit 00577a85 (src/llamafactory/data/template.py), Axolotl as of 002a637c
(src/axolotl/utils/schemas/enums.py). Names that stand for another text, such as one with a reasoning block or
the format's earlier versions, are not here.
"""

from collections.abc import Mapping
from typing import Final

PATH: Final = "model.tokenizer.chatTemplateName"

LLAMA_FACTORY: Final[Mapping[str, str]] = {
    "alpaca": "alpaca",
    "chatml": "chatml",
    "gemma": "gemma",
    "gemma2": "gemma",
    "gemma3": "gemma",
    "llama2": "llama2",
    "llama3": "llama3",
    "mistral": "mistral",
    "phi": "phi3",
    "phi4": "phi4",
    "qwen3_nothink": "qwen",
    "qwen": "qwen",
    "vicuna": "vicuna",
    "zephyr": "zephyr",
}

AXOLOTL: Final[Mapping[str, str]] = {
    "alpaca": "alpaca",
    "chatml": "chatml",
    "gemma": "gemma",
    "gemma3": "gemma",
    "llama3": "llama3",
    "mistral_v2v3": "mistral",
    "phi_3": "phi3",
    "phi_35": "phi3",
    "qwen_25": "qwen",
}

_OWN_PROMPT: Final = "its own system prompt there is not added: dataset.preprocessing.systemPrompt says one"

LLAMA_FACTORY_NOTES: Final = dict.fromkeys(("qwen", "zephyr"), _OWN_PROMPT)
"""Of templates that LLaMA-Factory gives a default system prompt."""

OTHERWISE: Final = "the model's own chat template is used; another one goes into model.tokenizer.chatTemplate"
