"""Rules about any place that data comes from."""

from collections.abc import Iterator

from finetune_api.dataset import SOURCES, DataSource
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, error, warning
from finetune_api.validation.rules.common import exactly_one, relative_path


def data_source(source: DataSource, path: str) -> Iterator[Finding]:
    """Exactly one place, with the keys that belong together."""
    yield from exactly_one(source, path, SOURCES, "data")
    if source.pvc is not None:
        yield from relative_path(source.pvc.path, f"{path}.pvc.path")
    if source.s3 is not None and (source.s3.access_key_secret is None) != (
        source.s3.secret_key_secret is None
    ):
        yield error(
            Code.REQUIRES,
            f"{path}.s3",
            "an access key needs its secret key, and the other way round",
            "Set both accessKeySecret and secretKeySecret, or neither",
        )
    if source.s3 is not None and source.s3.anonymous and source.s3.access_key_secret is not None:
        yield error(
            Code.CONFLICT,
            f"{path}.s3.anonymous",
            "asks without an identity, and accessKeySecret names one",
            "Remove anonymous, or accessKeySecret and secretKeySecret",
            True,
        )
    if source.http is not None and source.http.token_secret is not None and _is_plain(source.http.url):
        yield warning(
            Code.PLAIN_SECRET,
            f"{path}.http.url",
            "sends the token of tokenSecret without encryption",
            "Use https://",
            source.http.url,
        )


def _is_plain(url: str) -> bool:
    return url.startswith("http://")
