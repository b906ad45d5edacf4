"""What an error says of the hub: a refusal, which no retry mends, or trouble that passes."""

import httpx2
import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from finetune_trainer.errors import ModelLoadError, TrainerError
from finetune_trainer.hub_trouble import hub_trouble


def of_transformers(cause: Exception) -> OSError:
    """As transformers raises it: an error of its own, with the hub's behind it."""
    try:
        raise OSError("something of me/tiny is not there") from cause
    except OSError as error:
        return error


def answered(kind: type[HfHubHTTPError], status: int) -> HfHubHTTPError:
    return kind("no", response=httpx2.Response(status, request=httpx2.Request("GET", "http://hub/me/tiny")))


@pytest.mark.parametrize(
    ("cause", "says"),
    [
        (answered(GatedRepoError, 403), "is gated. Accept its conditions on the hub, and give a token"),
        (answered(RepositoryNotFoundError, 401), "is not on the hub, or is private. Check the id"),
        (answered(RevisionNotFoundError, 404), "has no such revision on the hub"),
        (OfflineModeIsEnabled("offline"), "is not in the cache, and HF_HUB_OFFLINE forbids to ask the hub"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_refusal_names_the_way_out(cause: Exception, says: str) -> None:
    trouble = hub_trouble(of_transformers(cause), "model.id: me/tiny", ModelLoadError)
    assert isinstance(trouble, ModelLoadError)
    assert str(trouble).startswith(f"model.id: me/tiny {says}")


@pytest.mark.parametrize(
    "cause",
    [
        answered(HfHubHTTPError, 503),
        answered(HfHubHTTPError, 429),
        LocalEntryNotFoundError("no connection"),
        httpx2.ConnectTimeout("slow"),
        ConnectionResetError("gone"),
    ],
    ids=lambda cause: type(cause).__name__,
)
def test_trouble_that_passes_is_tried_again(cause: Exception) -> None:
    trouble = hub_trouble(of_transformers(cause), "model.id: me/tiny", ModelLoadError)
    assert type(trouble) is TrainerError
    assert trouble.exit_code.retryable


def test_an_outage_without_words_is_named_by_its_kind() -> None:
    trouble = hub_trouble(TimeoutError(), "model.id: me/tiny", ModelLoadError)
    assert str(trouble) == "model.id: me/tiny cannot be fetched from the hub now: TimeoutError"


def test_other_errors_are_not_the_hubs() -> None:
    assert hub_trouble(ValueError("no such architecture"), "model.id: me/tiny", ModelLoadError) is None
