"""How the keys of a data source reach the trainer: as environment variables, set from Secrets in the cluster,
and by the user for `finetune run`."""

from collections.abc import Iterator
from typing import Final, Literal

from finetune_api.dataset import DatasetSpec
from finetune_api.kubernetes import SecretKeyRef

Part = Literal["train", "eval"]
DataSecret = Literal["HTTP_TOKEN", "S3_ACCESS_KEY", "S3_SECRET_KEY"]

PARTS: Final[tuple[Part, ...]] = ("train", "eval")


def variable(part: Part, secret: DataSecret) -> str:
    """Name of the variable: `FINETUNE_TRAIN_HTTP_TOKEN`."""
    return f"FINETUNE_{part.upper()}_{secret}"


def secret_variables(dataset: DatasetSpec) -> dict[str, SecretKeyRef]:
    """The variables that a job's data sources need, and the Secrets that hold them."""
    return dict(_variables(dataset))


def _variables(dataset: DatasetSpec) -> Iterator[tuple[str, SecretKeyRef]]:
    for part, source in zip(PARTS, (dataset.train, dataset.eval), strict=True):
        if source is None:
            continue
        if source.http is not None and source.http.token_secret is not None:
            yield variable(part, "HTTP_TOKEN"), source.http.token_secret
        if source.s3 is None:
            continue
        if source.s3.access_key_secret is not None:
            yield variable(part, "S3_ACCESS_KEY"), source.s3.access_key_secret
        if source.s3.secret_key_secret is not None:
            yield variable(part, "S3_SECRET_KEY"), source.s3.secret_key_secret
