"""Every parameter of the five documents that the product was born from, and where it lives in the API.

Plain data: `finetune import` and the page docs/reference/parameter-map.md are made from it.
"""

from typing import Final

from finetune_api.parameter_map.llamafarm import LLAMAFARM
from finetune_api.parameter_map.lora_service import LORA_SERVICE
from finetune_api.parameter_map.row import NOTHING, REQUIRED, Document, Elsewhere, Parameter, Row, Stated
from finetune_api.parameter_map.training_engine import TRAINING_ENGINE
from finetune_api.parameter_map.wizard import WIZARD
from finetune_api.parameter_map.yaml_framework import YAML_FRAMEWORK

DOCUMENTS: Final = (WIZARD, YAML_FRAMEWORK, LORA_SERVICE, LLAMAFARM, TRAINING_ENGINE)

__all__ = [
    "DOCUMENTS",
    "LLAMAFARM",
    "LORA_SERVICE",
    "NOTHING",
    "REQUIRED",
    "TRAINING_ENGINE",
    "WIZARD",
    "YAML_FRAMEWORK",
    "Document",
    "Elsewhere",
    "Parameter",
    "Row",
    "Stated",
]
