"""Pushes to the Hugging Face hub: tried again for a while, resumed where they stopped, never at the result's
expense.

A push that is repeated sends only what is not there yet: the hub knows files by their content. The token
comes from the environment (the operator mounts `output.hub.tokenSecret` there) and is written nowhere.
"""

import logging
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils.tqdm import disable_progress_bars

from finetune_api.protocol import HUB_TOKEN_VARIABLE
from finetune_api.storage import HubOutputSpec

log = logging.getLogger(__name__)

DELAYS: Final = (5.0, 15.0, 45.0, 120.0)
"""Seconds between tries, beside those that the library makes by itself."""
HOPELESS: Final = frozenset({400, 401, 403, 404, 409, 413, 422})
"""Answers that another try does not change."""
REMEDIES: Final[Mapping[int, str]] = {
    401: "Put a valid token that may write into output.hub.tokenSecret",
    403: "Give a token in output.hub.tokenSecret that may write to this repository, or change output.hub.id",
    404: "Check output.hub.id, and that the token of output.hub.tokenSecret may write there",
    413: "Make the files smaller (output.maxShardSizeGB)",
}
"""What a user can do, by answer."""


WEIGHTS: Final = "model*.safetensors*"
"""Files of a model's weights, and the index of those that are in pieces."""


class HubError(Exception):
    """The hub does not take what it is given; the message says why, without token or signed addresses."""


@dataclass(frozen=True)
class Hub:
    """A repository on the hub that may be written."""

    spec: HubOutputSpec
    token: str | None
    endpoint: str | None = None
    """Address of the hub; `HF_ENDPOINT`, or the public one, when absent."""
    delays: Sequence[float] = DELAYS
    wait: Callable[[float], None] = time.sleep

    @classmethod
    def of(cls, spec: HubOutputSpec, environment: Mapping[str, str] = os.environ) -> "Hub":
        """The repository of a job, with the token that the environment holds."""
        return cls(spec, environment.get(HUB_TOKEN_VARIABLE) or environment.get("HF_TOKEN"))

    def push(
        self,
        directory: Path,
        message: str,
        *,
        into: str = "",
        only: Sequence[str] | None = None,
        replacing: bool = False,
    ) -> str:
        """Pushes a directory, or of it the files that match `only`, into a folder of the repository, which is
        made if need be. With a model, weights of that folder that are not among its own go, whose pieces were
        others; with `replacing`, all files that are no longer there. Returns the commit.

        Raises `HubError` after the last try, and for a repository that everybody can read where it was to be
        private.
        """
        for delay in (*self.delays, None):
            try:
                return self._push(directory, message, into=into, only=only, replacing=replacing)
            except HubError:
                raise
            # whatever the client raises: a push must cost neither the result nor the training
            except Exception as error:  # noqa: BLE001
                reason = self._told(error)
                if delay is None or _is_hopeless(error):
                    raise HubError(f"{self.spec.id}: {reason}{_remedy(error)}") from None
            log.warning("push to %s failed, again in %.0f s: %s", self.spec.id, delay, reason)
            self.wait(delay)
        raise AssertionError("the last try returns or raises")

    def _push(
        self, directory: Path, message: str, *, into: str, only: Sequence[str] | None, replacing: bool
    ) -> str:
        disable_progress_bars()
        api = HfApi(endpoint=self.endpoint, token=self.token or False)
        spec = self.spec
        api.create_repo(spec.id, private=spec.private, exist_ok=True)
        if spec.private and api.model_info(spec.id).private is False:
            raise HubError(
                f"{spec.id}: everybody can read this repository, and output.hub.private is true. Make it "
                "private on the hub, set output.hub.private: false, or name another one in output.hub.id"
            )
        if spec.revision != "main":
            api.create_branch(spec.id, branch=spec.revision, exist_ok=True)
        commit = api.upload_folder(
            repo_id=spec.id,
            folder_path=directory,
            path_in_repo=into,
            revision=spec.revision,
            commit_message=message,
            allow_patterns=list(only) if only is not None else None,
            delete_patterns="*" if replacing else WEIGHTS if any(directory.glob(WEIGHTS)) else None,
        )
        return str(commit.oid)

    def _told(self, error: BaseException) -> str:
        """An error in one line, from its cause: without the token, and without queries, which sign
        addresses."""
        error = _cause(error)
        text = " ".join(f"{type(error).__name__}: {error}".split())
        text = re.sub(r" ?For more information check: \S+", "", text)
        if self.token:
            text = text.replace(self.token, "***")
        return re.sub(r"\?[^\s'\"]*", "", text)[:300]


def _remedy(error: BaseException) -> str:
    remedy = REMEDIES.get(_status(_cause(error)) or 0)
    return f". {remedy}" if remedy else ""


def _is_hopeless(error: BaseException) -> bool:
    cause = _cause(error)
    if isinstance(cause, HfHubHTTPError) and _status(cause) == 403 and cause.response.request.method == "PUT":
        # the signed address of a file has run out; the next try gets another
        return False
    return isinstance(cause, HFValidationError) or _status(cause) in HOPELESS


def _status(cause: BaseException) -> int | None:
    """Of the hub's answer; None where there was none."""
    return int(cause.response.status_code) if isinstance(cause, HfHubHTTPError) else None


def _cause(error: BaseException) -> BaseException:
    """The answer of the hub behind what the client makes of it while it uploads a file."""
    return error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ is not None else error
