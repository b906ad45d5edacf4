"""What the Kubernetes API refuses, sorted by what can be done about it."""

from __future__ import annotations


class ApiError(Exception):
    """The API server did not do what was asked. Unless a subclass says otherwise, trying again may help."""

    def __init__(self, message: str, *, detail: str = "") -> None:
        """`detail` is what the API server itself said, without what was asked."""
        super().__init__(message)
        self.detail = detail or message


class UnreachableError(ApiError):
    """Nobody has answered, or none who could: the API server, its store, or the way to it is away."""


class NotFoundError(ApiError):
    """There is no such object (or no such kind, yet)."""


class AlreadyExistsError(ApiError):
    """An object of that name is there already."""


class ConflictError(ApiError):
    """The object changed since it was read: read again, decide again."""


class InvalidError(ApiError):
    """The API server refuses the object as it is; the same request stays refused."""


class ForbiddenError(ApiError):
    """The operator's role does not allow this, or a quota or Pod Security level is in the way."""


class AdmissionError(ApiError):
    """A policy or admission webhook of somebody else's says no, or can't be asked. It may say yes later."""


_FAILED_WEBHOOK = "failed calling webhook"
"""Words of the API server where a webhook with failurePolicy Fail does not answer."""
_DENIED_BY_POLICY = "ValidatingAdmissionPolicy"
"""How a policy's denial begins, which has the code of an invalid object."""


def from_response(method: str, path: str, status: int, reason: str, message: str) -> ApiError:
    """The error for a response of the API server, with what was asked in its message."""
    text = f"{method} {path}: {status} {reason}: {message}"
    kind: type[ApiError] = ApiError
    if status == 404:
        kind = NotFoundError
    elif reason == "AlreadyExists":
        kind = AlreadyExistsError
    elif status == 409:
        kind = ConflictError
    elif status == 422 and _DENIED_BY_POLICY in message:
        kind = AdmissionError
    elif status in {413, 422}:
        kind = InvalidError
    elif status == 403:
        kind = ForbiddenError
    elif status == 400 or (status == 500 and _FAILED_WEBHOOK in message):
        kind = AdmissionError
    elif status >= 500:
        kind = UnreachableError
    return kind(text, detail=message)
