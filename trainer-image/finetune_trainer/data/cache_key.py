"""Under which name tokenised data is kept: a hash of all that decides what the tokens are."""

import hashlib
import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from finetune_api.dataset import DatasetSpec, DataSource
from finetune_api.resolved import ResolvedJob
from finetune_trainer.data import stored
from finetune_trainer.data.formats import FORMATS
from finetune_trainer.data.loading import hub_rows
from finetune_trainer.data.reading import find_files
from finetune_trainer.data.rendering import Renderer
from finetune_trainer.files import hash_file

COMMIT: Final = re.compile(r"[0-9a-f]{40}")


def cache_key(
    dataset: DatasetSpec, source: DataSource, path: str | None, renderer: Renderer, recipe: str
) -> str | None:
    """SHA-256, in hexadecimal, of all that decides what the tokens are: content, tokenizer, template,
    settings, and the recipe by which a stage makes sequences.

    None where nothing tells one content from another. Raises `DataError` when there are no files, and what
    `hub_rows` raises.
    """
    content = _content(dataset, source, path)
    if content is None:
        return None
    tokenizer = renderer.tokenizer
    identity: dict[str, Any] = {
        "layout": stored.LAYOUT,
        "libraries": {name: version(name) for name in ("tokenizers", "transformers")},
        "content": content,
        "tokenizer": hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode("utf-8")).hexdigest(),
        "special": [tokenizer.bos_token_id, tokenizer.eos_token_id, sorted(tokenizer.all_special_ids)],
        "template": str(tokenizer.chat_template),
        "format": dataset.format,
        "columns": dataset.columns.to_json_object(),
        "preprocessing": dataset.preprocessing.model_copy(update={"workers": None}).to_json_object(),
        "maxSamples": dataset.max_samples,
        "maxLength": renderer.max_length,
        "supervise": renderer.supervise,
        "recipe": recipe,
    }
    return _hash(json.dumps(identity, sort_keys=True))


def key_of_attempt(job: ResolvedJob, source: DataSource) -> str:
    """For data without content that can be told, which may have changed since the attempt before."""
    return _hash(f"{job.job.uid} {job.attempt} {source.to_json_object()}")


def _content(dataset: DatasetSpec, source: DataSource, path: str | None) -> list[Any] | None:
    """The files by their hashes; data of the hub by its commit, and where that is not known (the hub cannot
    be asked) by the files that the datasets library has made of it."""
    if path is not None:
        format_ = FORMATS.get(dataset.format)
        files = [] if format_ is None else find_files(path, format_.suffixes)
        return [(file.name, *hash_file(file)) for file in files] or None
    if (hub := source.hub) is None:
        return None
    part = ["hub", hub.id, hub.config, hub.split]
    if hub.revision is not None and COMMIT.fullmatch(hub.revision):
        return [*part, version("datasets"), hub.revision]
    rows = [hash_file(Path(file["filename"])) for file in hub_rows(hub).cache_files]
    return [*part, rows] if rows else None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
