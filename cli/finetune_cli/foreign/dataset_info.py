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
EVAL_PREFIX: Final = "eval_dataset_info"

OPENAI_TAGS: Final = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "system_tag": "system",
    "observation_tag": "tool",
}
"""sharegpt's turns with these tags are our messages."""


def _tag(*ours: str) -> Read:
    """Return the rule of a role's name, which a job does not rename."""
    return Read(
        lambda value: (
            Mapped({}, "its usual name")
            if value in ours
            else NotMapped(f"roles keep their usual names: rename {value!r} to {ours[0]!r} in the data")
        )
    )


def _file(value: Any, part: str = "dataset.train") -> Result:
    return rules.data(part).read(value if str(value).startswith("/") else f"./{value}")


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
    "formatting": rules.Choice(
        "dataset.format", {"alpaca": "alpaca", "sharegpt": "sharegpt", "messages": "messages"}
    ),
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
    "tags.user_tag": _tag("human", "user"),
    "tags.assistant_tag": _tag("gpt", "assistant"),
    "tags.observation_tag": _tag("observation", "tool"),
    "tags.function_tag": _tag("function_call"),
    "tags.system_tag": _tag("system"),
}


EVAL_TABLE: Final[Table] = {
    **{
        key: To(rule.path.replace("dataset.train", "dataset.eval"))
        for key, rule in TABLE.items()
        if isinstance(rule, To) and rule.path.startswith("dataset.train")
    },
    "file_name": Read(lambda value: _file(value, "dataset.eval")),
    **{
        key: Left("evaluation data has the form of the training data")
        for key in TABLE
        if key in ("formatting", "ranking") or key.startswith(("columns.", "tags."))
    },
}
"""Of the evaluation data only its place is read."""


def entries(document: Mapping[str, Any], beside: Path) -> dict[str, Any]:
    """Return what the file says of the data sets that `document` names, by the keys that name them.

    `beside` is the directory of the configuration; `dataset_dir` is looked for there and where the command
    runs. Nothing where there is no such file or no such name in it.
    """
    found = {}
    for key, prefix in (("dataset", PREFIX), ("eval_dataset", EVAL_PREFIX)):
        said = _entry(document.get(key), Path(str(document.get("dataset_dir", "data"))), beside)
        if said is not None:
            found[key] = {prefix: said}
    return found


def _entry(name: Any, folder: Path, beside: Path) -> Mapping[str, Any] | None:
    if not isinstance(name, str) or "," in name:
        return None
    for file in (beside / folder / FILE, folder / FILE):
        if file.is_file():
            found = _parsed(file).get(name)
            return _with_one_format(found) if isinstance(found, dict) else None
    return None


def _with_one_format(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Ranked pairs are preferences, whatever the formatting; sharegpt's turns of a user are messages."""
    tags = entry.get("tags")
    if entry.get("ranking"):
        return {key: value for key, value in entry.items() if key != "formatting"}
    if isinstance(tags, dict) and tags.get("user_tag") == OPENAI_TAGS["user_tag"]:
        return {**entry, "formatting": "messages"}
    return entry


def _parsed(file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
