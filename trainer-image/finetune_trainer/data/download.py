"""Data that lies elsewhere: fetched once into the run directory, for all ranks and attempts. Here over
HTTP(S); `s3.py` speaks to S3."""

import hashlib
import http.client
import logging
import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from finetune_api.data_secrets import DataSecret, Part, data_parts
from finetune_api.dataset import HttpSource
from finetune_api.resolved import ResolvedJob, benchmark_part
from finetune_trainer.data.cache import exclusive
from finetune_trainer.errors import DataError, InvalidConfigError, TrainerError
from finetune_trainer.files import sync_directory

log = logging.getLogger(__name__)

DOWNLOADS = "downloads"
"""Directory of fetched files within the run directory."""
SECONDS = 60.0
"""How long a server may stay silent."""
LARGEST_BYTES = 64 * 1024**3
CHUNK_BYTES = 1 << 20
AUTHORIZATION = "Authorization"


def fetch_sources(job: ResolvedJob) -> ResolvedJob:
    """The job with the paths of its data that comes over HTTP or from S3, which is there when this returns.

    Raises `DataError` for what the server does not give, or what is not what it should be; `TrainerError`
    when the server cannot be reached; `InvalidConfigError` for a key that is not in the environment.
    """
    directory = Path(job.paths.run_directory) / DOWNLOADS
    found = {part.name: str(place) for part in data_parts(job.spec) if (place := _fetched(part, directory))}
    paths = job.paths
    benchmarks = {
        benchmark.name: found[benchmark_part(number)]
        for number, benchmark in enumerate(job.spec.evaluation.benchmarks)
        if benchmark_part(number) in found
    }
    update = {
        "train": found.get("train", paths.train),
        "eval": found.get("eval", paths.eval),
        "benchmarks": paths.benchmarks | benchmarks,
    }
    return job.model_copy(update={"paths": paths.model_copy(update=update)})


def _fetched(part: Part, directory: Path) -> Path | None:
    """Where the data of a source is now; None for one that is not fetched."""
    http, s3 = part.source.http, part.source.s3
    needed = {kind: _secret(part, kind) for kind, _ in part.secrets()}
    if http is not None:
        return fetch(http, directory, needed.get("HTTP_TOKEN"))
    if s3 is not None:
        from finetune_trainer.data.s3 import Keys, fetch_objects

        keys = Keys(needed["S3_ACCESS_KEY"], needed["S3_SECRET_KEY"]) if needed else None
        return fetch_objects(s3, directory, keys)
    return None


def _secret(part: Part, kind: DataSecret) -> str:
    """A key from the environment. Raises `InvalidConfigError`, which never tells one."""
    name = part.variable(kind)
    value = os.environ.get(name, "").strip()
    if not value:
        raise InvalidConfigError(
            f"{part.field}: {name} is not in the environment. In a cluster the Secret fills it in; for "
            "finetune run, set it yourself"
        )
    return value


def fetch(source: HttpSource, directory: Path, token: str | None = None) -> Path:
    """The file, from an earlier rank or attempt where it is there already under the same address and SHA-256.
    The token goes to the address itself, and along with redirects to the same server only."""
    # the hash is compared once, while fetching: what another hash was asked of has another name
    identity = source.url if source.sha256 is None else f"{source.url} {source.sha256}"
    name = hashlib.sha256(identity.encode("utf-8")).hexdigest()[:16]
    place = directory / name / _file_name(source.url)
    with exclusive(directory / f"{name}.lock"):
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            staged = place.with_name(f".{uuid4().hex}.tmp")
            try:
                with staged.open("wb") as file:
                    _download(source, file, token)
                    file.flush()
                    os.fsync(file.fileno())
                staged.rename(place)
                sync_directory(place.parent)
                sync_directory(directory)
            finally:
                staged.unlink(missing_ok=True)
    return place


def _download(source: HttpSource, file: IO[bytes], token: str | None) -> None:
    shown = _shown(source.url)
    digest, size = hashlib.sha256(), 0
    request = urllib.request.Request(source.url)  # noqa: S310 - the schema allows http and https only
    if token is not None:
        request.add_unredirected_header(AUTHORIZATION, f"Bearer {token}")
    try:
        with urllib.request.build_opener(_Redirects).open(request, timeout=SECONDS) as response:
            promised = response.headers.get("Content-Length")
            while chunk := response.read(CHUNK_BYTES):
                size += len(chunk)
                if size > LARGEST_BYTES:
                    raise DataError(f"{shown}: is larger than {LARGEST_BYTES} bytes. Put it into a volume")
                digest.update(chunk)
                file.write(chunk)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code < 400:
            raise DataError(f"{shown}: is redirected too often, or to what is not HTTP") from None
        kind = DataError if error.code < 500 else TrainerError
        meaning = http.client.responses.get(error.code, "")
        raise kind(f"{shown}: the server answers {error.code} {meaning}") from None
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise TrainerError(f"{shown}: cannot be fetched: {getattr(error, 'reason', error)}") from None
    if promised is not None and size != int(promised):
        raise TrainerError(f"{shown}: the connection ended after {size} of {promised} bytes")
    if source.sha256 is not None and digest.hexdigest() != source.sha256:
        raise DataError(
            f"{shown}: its SHA-256 is {digest.hexdigest()}, dataset's http.sha256 says {source.sha256}"
        )
    log.info("fetched %s (%d bytes)", shown, size)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Never from HTTPS to HTTP. That other schemes are not followed is the library's own rule."""

    max_redirections = 5

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if after != "https" and (before, after) != ("http", "http"):
            fp.close()
            shown = _shown(req.full_url)
            raise DataError(f"{shown}: is redirected from {before} to {after}, which is refused")
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        token = req.unredirected_hdrs.get(AUTHORIZATION)
        if following is not None and token is not None and _origin(newurl) == _origin(req.full_url):
            following.add_unredirected_header(AUTHORIZATION, token)
        return following


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _shown(url: str) -> str:
    """The address without what may be secret: user, password and query."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


def _file_name(url: str) -> str:
    """The last part of the path; its suffix says how the file is read."""
    name = unquote(urlsplit(url).path).rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")[-128:] or "data"
