"""The images of the project. A new one is a line here and a Dockerfile with the stages `deps` and `code`."""

from dataclasses import dataclass
from pathlib import Path

from finetune_images import paths


@dataclass(frozen=True)
class Image:
    """An image of ours, described by its Dockerfile.

    The Dockerfile's stage `deps` is everything but our code; the stage `code` starts from scratch and only
    copies; the image is the one on top of the other.
    """

    key: str
    """Its short name, as in `tags.json`."""

    repository: str
    """Its name without a tag, as a pod writes it."""

    dockerfile: Path

    build_space_gb: int
    """Free disk space in GB that building and loading it takes at most, with some to spare."""


IMAGES = (
    Image("operator", "finetune-operator", paths.REPOSITORY / "operator" / "Dockerfile", 3),
    Image("trainer", "finetune-trainer", paths.REPOSITORY / "trainer-image" / "Dockerfile", 22),
)
