"""LLaMA-Factory's dataset_info.json, which says what the names of its data sets stand for.

Read as of the project's commit 01d3ac67 (src/llamafactory/data/parser.py).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from finetune_cli.foreign import rules
from finetune_cli.foreign.rules import Left, Mapped, NotMapped, Read, Result, Table, To

FILE: Final = "dataset_info.json"
PREFIX: Final = "dataset_info"


def _tag(ours: str) -> Read:
    """Return the rule of a role's name, which a job does not rename."""
    return Read(
        lambda value: (
            Mapped({}, "its usual name")
            if value == ours
            else NotMapped(f"roles keep their usual names: rename {value!r} to {ours!r} in the data")
        )
    )


def _file(value: Any) -> Result:
    return rules.data("dataset.train").read(value if str(value).startswith("/") else f"./{value}")


_COLUMNS: Final = {
    "prompt": "instruction",
    "query": "input",
    "response": "output",
    "history": "history",
    "system": "system",
    "tools": "tools",
    "messages": "messages",
    "chosen": "chosen",
    "rejected": "rejected",
    "kto_tag": "label",
}

TABLE: Final[Table] = {
    "hf_hub_url": To("dataset.train.hub.id"),
    "revision": To("dataset.train.hub.revision"),
    "subset": To("dataset.train.hub.config"),
    "split": To("dataset.train.hub.split"),
    "file_name": Read(_file),
    "num_samples": To("dataset.maxSamples"),
    "formatting": rules.Choice("dataset.format", {"alpaca": "alpaca", "sharegpt": "sharegpt"}),
    "ranking": rules.flag({"dataset.format": "preference"}),
    "ms_hub_url": Left("ModelScope is not read: name the same data set on the Hugging Face hub"),
    "om_hub_url": Left("Modelers is not read: name the same data set on the Hugging Face hub"),
    "cloud_file_name": Left("name it in dataset.train.s3"),
    "script_url": Left("scripts that load data are not run"),
    "folder": Left("name the file in dataset.train"),
    **{f"columns.{theirs}": To(f"dataset.columns.{ours}") for theirs, ours in _COLUMNS.items()},
    **{f"columns.{kind}": Left("only text is trained on") for kind in ("images", "videos", "audios")},
    "tags.role_tag": To("dataset.columns.role"),
    "tags.content_tag": To("dataset.columns.content"),
    "tags.user_tag": _tag("human"),
    "tags.assistant_tag": _tag("gpt"),
    "tags.observation_tag": _tag("observation"),
    "tags.function_tag": _tag("function_call"),
    "tags.system_tag": _tag("system"),
}


def entry(document: Mapping[str, Any], beside: Path) -> dict[str, Any]:
    """Return what the file says of the data set that `document` names, as keys of the document.

    `beside` is the directory of the configuration; `dataset_dir` is looked for there and where the command
    runs. Nothing where there is no such file or no such name in it. Ranked pairs are preferences, whatever
    the formatting.
    """
    name, folder = document.get("dataset"), Path(str(document.get("dataset_dir", "data")))
    if not isinstance(name, str) or "," in name:
        return {}
    for file in (beside / folder / FILE, folder / FILE):
        if file.is_file():
            found = _parsed(file).get(name)
            if not isinstance(found, dict):
                return {}
            dropped = "formatting" if found.get("ranking") else ""
            return {PREFIX: {key: value for key, value in found.items() if key != dropped}}
    return {}


def _parsed(file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
