"""Rules about the job's name: children are called after it."""

from collections.abc import Iterator

from finetune_api.job import FineTuneJob
from finetune_api.naming import JOB_NAME, is_job_name
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, broken, error


def metadata(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """A name that pods and Services can carry."""
    name = job.metadata.name
    if not name:
        if not job.metadata.generate_name:
            yield error(Code.MISSING_FIELD, "metadata.name", "is required", "Set metadata.name")
        return
    if not is_job_name(name):
        yield broken(Code.INVALID_NAME, JOB_NAME, name)
