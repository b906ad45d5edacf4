"""Rules about `spec.failurePolicy`."""

from collections.abc import Iterator

from finetune_api.job import FineTuneJob
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, error


def failure_policy(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """Waits whose order makes sense."""
    policy = job.spec.failure_policy
    if policy.backoff_seconds > policy.max_backoff_seconds:
        yield error(
            Code.CONFLICT,
            "failurePolicy.backoffSeconds",
            f"is more than maxBackoffSeconds {policy.max_backoff_seconds}",
            "Lower it or raise maxBackoffSeconds",
            policy.backoff_seconds,
        )
