"""Why the hub did not give what was asked for: a refusal that stays, or trouble that passes."""

from collections.abc import Iterator

from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from finetune_trainer.errors import TrainerError

BUSY = (408, 429)
"""Status codes under 500 after which a server may answer another time."""

NETWORK = ("TransportError", "ConnectionError", "TimeoutError")
"""Classes, of Python and of the libraries' HTTP clients, that say that there was no answer."""


def hub_trouble(error: BaseException, what: str, refused: type[TrainerError]) -> TrainerError | None:
    """What an error of transformers or datasets says of the hub; None where it speaks of something else.

    `what` names field and value (`model.id: org/model`). A refusal is a `refused`; where the hub could not be
    asked it is a plain `TrainerError`, after which the operator tries again.
    """
    for each in _chain(error):
        if isinstance(each, GatedRepoError):
            return refused(
                f"{what} is gated. Accept its conditions on the hub, and give a token of that account in "
                "model.tokenSecret (HF_TOKEN without a cluster)"
            )
        if isinstance(each, RevisionNotFoundError):
            return refused(f"{what} has no such revision on the hub. Name a branch, a tag or a commit")
        # datasets has an error of its own, without the hub's behind it
        if isinstance(each, RepositoryNotFoundError) or type(each).__name__ == "DatasetNotFoundError":
            return refused(
                f"{what} is not on the hub, or is private. Check the id, and give a token that may read it "
                "in model.tokenSecret (HF_TOKEN without a cluster)"
            )
        if isinstance(each, OfflineModeIsEnabled):
            return refused(f"{what} is not in the cache, and HF_HUB_OFFLINE forbids to ask the hub")
    if any(_passes(each) for each in _chain(error)):
        told = str(error).splitlines() or [type(error).__name__]
        return TrainerError(f"{what} cannot be fetched from the hub now: {told[0]}")
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _passes(error: BaseException) -> bool:
    if isinstance(error, HfHubHTTPError) and error.response is not None:
        status = error.response.status_code
        return status >= 500 or status in BUSY
    names = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, LocalEntryNotFoundError) or not names.isdisjoint(NETWORK)
