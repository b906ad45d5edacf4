"""How many of the combinations of methods, bases, stages and optimizers a run of the tests trains."""

import os

from finetune_api.catalog import FAMILIES

EVERYTHING = os.environ.get("FINETUNE_ALL_COMBINATIONS") == "1"
"""All, which takes minutes; else a few, chosen so that each part is trained once. What came of all is
in `docs/log.md`."""

OTHER_CODE = ("qwen",)
"""Families of the catalog that transformers does not know."""

FAMILY_NAMES = [*(name for name in FAMILIES if name not in OTHER_CODE), "smollm3"]
"""Families of decoders that are trained: those of the catalog, and one that it has no model of."""
