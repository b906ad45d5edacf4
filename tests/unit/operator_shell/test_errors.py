"""What the answers of the API server mean: final, passing, or that somebody was faster."""

import pytest

from finetune_operator.errors import (
    AdmissionError,
    AlreadyExistsError,
    ApiError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnreachableError,
    from_response,
)

WEBHOOK_DOWN = (
    'Internal error occurred: failed calling webhook "mjob.kueue.x-k8s.io": failed to call webhook: Post '
    '"https://kueue-webhook-service.kueue-system.svc:443/mutate-batch-v1-job": connection refused'
)
DENIED = (
    "jobs.batch \"tune-1\" is forbidden: ValidatingAdmissionPolicy 'nightly' with binding 'team' denied "
    "request: no training by day"
)


@pytest.mark.parametrize(
    ("status", "reason", "message", "error"),
    [
        (404, "NotFound", "", NotFoundError),
        (409, "AlreadyExists", "", AlreadyExistsError),
        (409, "Conflict", "", ConflictError),
        (422, "Invalid", "", InvalidError),
        (422, "Invalid", DENIED, AdmissionError),
        (413, "RequestEntityTooLarge", "limit is 3145728", InvalidError),
        (403, "Forbidden", "exceeded quota", ForbiddenError),
        # A webhook that gives no code of its own (Kyverno's do not) denies with 400.
        (
            400,
            "",
            'admission webhook "validate.kyverno.svc-fail" denied the request: no team',
            AdmissionError,
        ),
        (500, "InternalError", WEBHOOK_DOWN, AdmissionError),
        (500, "InternalError", "etcdserver: request timed out", UnreachableError),
        (429, "TooManyRequests", "", ApiError),
        (503, "ServiceUnavailable", "", UnreachableError),
    ],
)
def test_sorts_an_answer_by_what_can_be_done_about_it(
    status: int, reason: str, message: str, error: type[ApiError]
) -> None:
    found = from_response("POST", "/apis/batch/v1/namespaces/team/jobs", status, reason, message)
    assert type(found) is error
    assert found.detail == (message or str(found))
