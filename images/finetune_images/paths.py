"""Where the image tool reads and writes."""

from pathlib import Path

from onenode.paths import CACHE

REPOSITORY = Path(__file__).parents[2]
"""The root of the checkout: the build context of every Dockerfile."""

IMAGES = CACHE / "images"
"""Everything that the tool keeps; removing it costs time and nothing else."""

TAGS = IMAGES / "tags.json"
"""`{"operator": "finetune-operator:<hash>", "trainer": "finetune-trainer:<hash>"}` after the newest build."""

BUILT = IMAGES / "built"
"""Images in OCI layout, from the end of a build until the node has them."""

STORE = IMAGES / "store"
"""buildah's layers; between builds, those of the base."""

RUN = IMAGES / "run"
SCRATCH = IMAGES / "tmp"
LOGS = IMAGES / "logs"
"""What the builder said, one file per image."""

LOCK = IMAGES / "lock"
"""Held while the tool works, so that two runs do not build the same thing twice."""
