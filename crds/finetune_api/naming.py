"""Names of jobs: children carry them, so they must be DNS labels with room for a suffix."""

import re
from typing import Final

from finetune_api.base import MAX_JOB_NAME_LENGTH, cel

JOB_NAME_PATTERN: Final = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"

JOB_NAME_RULES: Final = (
    cel(
        f"self.metadata.name.size() <= {MAX_JOB_NAME_LENGTH}",
        f"metadata.name may have at most {MAX_JOB_NAME_LENGTH} characters, because the names of pods and "
        "Services are made from it; shorten it",
    ),
    cel(
        f"self.metadata.name.matches('{JOB_NAME_PATTERN}')",
        "metadata.name must be lower-case letters, digits and -, start with a letter and end with a letter "
        "or digit, because Services are named after it",
    ),
)


def is_job_name(name: str) -> bool:
    """Whether a job may have this name."""
    return len(name) <= MAX_JOB_NAME_LENGTH and re.fullmatch(JOB_NAME_PATTERN, name) is not None
