"""Write a job as another program's configuration, by the same tables, and say what is lost."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from finetune_cli.foreign import axolotl, llamafactory, writing_axolotl, writing_llamafactory
from finetune_cli.foreign.draft import Draft, Values
from finetune_cli.foreign.registering import registered
from finetune_cli.foreign.rules import Choice, Table, To


@dataclass(frozen=True)
class Lost:
    """A value that was chosen, or that matters, and that the other program is not told."""

    path: str
    value: Any
    reason: str


@dataclass(frozen=True)
class Writing:
    """A configuration, and what is not in it."""

    document: dict[str, Any]
    lost: tuple[Lost, ...]
    data_sets: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """What LLaMA-Factory's dataset_info.json has to say of the data sets that the configuration names."""


def write(
    values: Values, chosen: set[str], target: str, name: str = "job", directory: Path = Path()
) -> Writing:
    """Return the configuration for `target` (llamafactory or axolotl) of the job called `name`.

    `values` are the effective values by path; `chosen` are the paths that the user or a preset has set. Every
    value is written that has a place there, since defaults differ. `directory` is where LLaMA-Factory's
    dataset_info.json will lie, as seen from where the command runs and LLaMA-Factory will run.
    """
    table, begin, reasons = _TARGETS[target]
    draft = begin(_relevant(values))
    draft.document["output_dir"] = f"outputs/{name}"
    data_sets = _named_data(draft, name, directory) if target == llamafactory.NAME else {}
    _write_by_table(draft, table)
    lost = tuple(
        Lost(path, values[path], draft.unsaid.get(path) or _reason(path, reasons))
        for path in values
        if path in draft.unsaid or (path in chosen and path not in draft.said and values[path] != "auto")
    )
    return Writing(draft.document, lost, data_sets)


def _write_by_table(draft: Draft, table: Table) -> None:
    """Write what one key says with one value, where nothing was said of it before."""
    settled = draft.said | draft.unsaid.keys()
    for key, rule in table.items():
        if not isinstance(rule, To | Choice) or rule.path in settled or rule.path not in draft.values:
            continue
        value = draft.values[rule.path]
        theirs = rule.write(value) if isinstance(rule, Choice) else value
        if theirs is not None and value != "auto":
            draft.document.setdefault(key, theirs)
            draft.say(rule.path)
            settled |= {rule.path}


def _named_data(draft: Draft, name: str, directory: Path) -> dict[str, dict[str, Any]]:
    """Names the job's data sets in the draft, and returns what the names stand for."""
    data_sets = {}
    parts = {"dataset": ("dataset.train", name), "eval_dataset": ("dataset.eval", f"{name}-eval")}
    for key, (part, called) in parts.items():
        entry, paths = registered(draft.values, part, directory)
        if entry and not paths & draft.unsaid.keys():
            draft.document[key] = called
            data_sets[called] = entry
            draft.say(*paths)
    if data_sets:
        draft.document["dataset_dir"] = str(directory)
    if "dataset" not in draft.document and draft.document.pop("val_size", None):
        draft.lose("dataset.evalSplit", "there is no data set in the file that it could be a part of")
    return data_sets


def _relevant(values: Values) -> dict[str, Any]:
    """Return the values without settings that have no effect: of methods and types that are not used."""
    without = []
    if values.get("quantization.type") == "none":
        without += [
            path for path in values if path.startswith("quantization.") and path != "quantization.type"
        ]
    if values.get("method.type") in ("full", "freeze", "spectrum"):
        without.append("method.lora.")
    if values.get("training.schedule.type") != "polynomial":
        without.append("training.schedule.power")
    return {
        path: value for path, value in values.items() if value != [] and not path.startswith(tuple(without))
    }


def _reason(path: str, reasons: Mapping[str, str]) -> str:
    near = [reason for prefix, reason in reasons.items() if path == prefix or path.startswith(f"{prefix}.")]
    section = path.partition(".")[0]
    return near[0] if near else _SECTIONS.get(section, "it has no key for it")


_SECTIONS: Final = {
    "resources": "where it runs is not its business",
    "failurePolicy": "it starts no attempts of its own",
    "budget": "it has no limits in money and time",
    "checkpoints": "it has no such rule for checkpoints",
    "distributed": "it takes a DeepSpeed file and a launcher's options",
}


def _of_the_file_itself(table: Table) -> Table:
    """The table without keys of sections, which are written whole or in a file of their own."""
    return {key: rule for key, rule in table.items() if "." not in key and "[" not in key}


_TARGETS: Final[Mapping[str, tuple[Table, Callable[[Values], Draft], Mapping[str, str]]]] = {
    "llamafactory": (
        _of_the_file_itself(llamafactory.TABLE),
        writing_llamafactory.draft,
        llamafactory.LOST,
    ),
    "axolotl": (_of_the_file_itself(axolotl.TABLE), writing_axolotl.draft, axolotl.LOST),
}
