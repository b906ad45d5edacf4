"""Names of jobs: children carry them, so they must be DNS labels with room for a suffix."""

import re
from typing import Final

from finetune_api.base import MAX_JOB_NAME_LENGTH
from finetune_api.rule import Rule

JOB_NAME_PATTERN: Final = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"

JOB_NAME: Final = Rule(
    f"self.metadata.name.size() <= {MAX_JOB_NAME_LENGTH} && self.metadata.name.matches('{JOB_NAME_PATTERN}')",
    path="metadata.name",
    value="self.metadata.name",
    message=f"must have at most {MAX_JOB_NAME_LENGTH} characters, of lower-case letters, digits and -, start "
    "with a letter and end with a letter or digit, because pods and Services are named after it",
    remedy="Choose another name",
)


def is_job_name(name: str) -> bool:
    """Whether a job may have this name."""
    return len(name) <= MAX_JOB_NAME_LENGTH and re.fullmatch(JOB_NAME_PATTERN, name) is not None
