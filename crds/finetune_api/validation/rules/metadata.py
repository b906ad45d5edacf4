"""Rules about the job's name: children are called after it."""

from collections.abc import Iterator

from finetune_api.base import MAX_JOB_NAME_LENGTH
from finetune_api.job import FineTuneJob
from finetune_api.naming import is_job_name
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, error


def metadata(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """A name that pods and Services can carry."""
    name = job.metadata.name
    if not name:
        if not job.metadata.generate_name:
            yield error(Code.MISSING_FIELD, "metadata.name", "is required", "Set metadata.name")
        return
    if not is_job_name(name):
        yield error(
            Code.INVALID_NAME,
            "metadata.name",
            f"must have at most {MAX_JOB_NAME_LENGTH} characters, of lower-case letters, digits and -, start "
            "with a letter and end with a letter or digit, because pods and Services are named after it",
            "Choose another name",
            name,
        )
