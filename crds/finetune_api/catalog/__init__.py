"""Models that the product knows by their numbers: architectures, licences, chat templates."""

from finetune_api.catalog.architecture import Architecture, Linear
from finetune_api.catalog.families import FAMILIES, Family
from finetune_api.catalog.lookup import architecture_of, find_model
from finetune_api.catalog.models import MODELS, CatalogModel

__all__ = [
    "FAMILIES",
    "MODELS",
    "Architecture",
    "CatalogModel",
    "Family",
    "Linear",
    "architecture_of",
    "find_model",
]
