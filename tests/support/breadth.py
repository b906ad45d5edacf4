"""How many of the combinations of methods, bases, stages and optimizers a run of the tests trains."""

import os

EVERYTHING = os.environ.get("FINETUNE_ALL_COMBINATIONS") == "1"
"""All, which takes minutes; else a few, chosen so that each part is trained once. What came of all is
in `docs/log.md`."""
