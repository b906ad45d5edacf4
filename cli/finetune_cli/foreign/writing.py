"""Write a job as another program's configuration, by the same tables, and say what is lost."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from finetune_cli.foreign import axolotl, llamafactory, templates
from finetune_cli.foreign.registering import registered
from finetune_cli.foreign.rules import Choice, Table, To

Values = Mapping[str, Any]
Special = Callable[[Values], tuple[dict[str, Any], set[str]]]
"""Keys of theirs that take a function to find, and the paths of ours that they say."""


@dataclass(frozen=True)
class Lost:
    """A value that was chosen, and that the other program is not told."""

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
    table, special, reasons = _TARGETS[target]
    relevant = _relevant(values)
    document, said = special(relevant)
    data_sets = _named_data(relevant, name, directory, document, said) if target == llamafactory.NAME else {}
    for key, rule in table.items():
        if not isinstance(rule, To | Choice) or rule.path in said or rule.path not in relevant:
            continue
        value = relevant[rule.path]
        theirs = rule.write(value) if isinstance(rule, Choice) else value
        if theirs is not None and value != "auto":
            document.setdefault(key, theirs)
            said.add(rule.path)
    lost = tuple(
        Lost(path, values[path], _reason(path, reasons))
        for path in values
        if path in chosen and path not in said and values[path] != "auto"
    )
    return Writing(document, lost, data_sets)


def _named_data(
    values: Values, name: str, directory: Path, document: dict[str, Any], said: set[str]
) -> dict[str, dict[str, Any]]:
    """Names the job's data sets in the document, and returns what the names stand for."""
    data_sets = {}
    parts = {"dataset": ("dataset.train", name), "eval_dataset": ("dataset.eval", f"{name}-eval")}
    for key, (part, called) in parts.items():
        entry, paths = registered(values, part, directory)
        if entry:
            document[key] = called
            data_sets[called] = entry
            said |= paths
    if data_sets:
        document["dataset_dir"] = str(directory)
    return data_sets


def _relevant(values: Values) -> dict[str, Any]:
    """Return the values without settings that have no effect: of methods and types that are not used."""
    without = []
    if values.get("quantization.type") == "none":
        without.append("quantization.")
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


def _shared(values: Values) -> tuple[dict[str, Any], set[str]]:
    """What both programs say alike."""
    document: dict[str, Any] = {}
    said: set[str] = set()

    def say(path: str, key: str, value: Any) -> None:
        document[key] = value
        said.add(path)

    if "training.maxSteps" in values:
        say("training.maxSteps", "max_steps", values["training.maxSteps"])
        said.add("training.epochs")
    if "training.schedule.warmupSteps" in values:
        say("training.schedule.warmupSteps", "warmup_steps", values["training.schedule.warmupSteps"])
        said.add("training.schedule.warmupRatio")
    if values.get("training.precision") in ("bf16", "fp16"):
        say("training.precision", values["training.precision"], True)
    if values.get("training.precision") == "fp32":
        say("training.precision", "bf16", False)
    if values.get("checkpoints.metric"):
        say("checkpoints.metric", "metric_for_best_model", values["checkpoints.metric"])
    return document, said


def _llamafactory(values: Values) -> tuple[dict[str, Any], set[str]]:
    document, said = _shared(values)
    document["model_name_or_path"] = values.get("model.id") or values.get("model.path")
    said |= {"model.id", "model.path"}
    method = values["method.type"]
    if method in ("full", "freeze"):
        document["finetuning_type"] = method
        said.add("method.type")
    elif method != "spectrum":
        document["finetuning_type"] = "lora"
        document |= {
            "dora": {"use_dora": True},
            "pissa": {"pissa_init": True},
            "rslora": {"use_rslora": True},
        }.get(method, {})
        said.add("method.type")
    projecting = {"galoreAdamw": "use_galore", "apolloAdamw": "use_apollo"}
    if (optimizer := values.get("training.optimizer")) in projecting:
        document[projecting[optimizer]] = True
        said.add("training.optimizer")
    if method == "freeze":
        document["freeze_trainable_layers"] = _freeze(values, said)
    if values.get("training.stage") == "kto" and "training.kto.beta" in values:
        document["pref_beta"] = values["training.kto.beta"]
        said.add("training.kto.beta")
    modules = values.get("method.lora.targetModules")
    if modules:
        document["lora_target"] = "all" if modules == ["all-linear"] else ",".join(modules)
        said.add("method.lora.targetModules")
    if values.get("quantization.type") in ("nf4", "fp4"):
        document |= {"quantization_bit": 4, "quantization_type": values["quantization.type"]}
        said.add("quantization.type")
    document |= _default_system(values, said)
    if values.get("dataset.evalSplit"):
        document["val_size"] = values["dataset.evalSplit"]
        said.add("dataset.evalSplit")
    return document, said


def _freeze(values: Values, said: set[str]) -> int:
    """Return how many layers are trained: counted from the first one when negative."""
    said |= {"method.freeze.trainableLayers", "method.freeze.fromLayer"}
    count = int(values.get("method.freeze.trainableLayers", 2))
    return -count if values.get("method.freeze.fromLayer") == "first" else count


def _default_system(values: Values, said: set[str]) -> dict[str, str]:
    """Return the system prompt: an empty one where the template would add one that a job does not have."""
    path = "dataset.preprocessing.systemPrompt"
    said.add(path)
    template = Choice(templates.PATH, templates.LLAMA_FACTORY).write(values.get(templates.PATH))
    if path in values or template in templates.LLAMA_FACTORY_NOTES:
        return {"default_system": values.get(path, "")}
    return {}


def _axolotl(values: Values) -> tuple[dict[str, Any], set[str]]:
    document, said = _shared(values)
    document["base_model"] = values.get("model.id") or values.get("model.path")
    said |= {"model.id", "model.path"}
    method, bits = values["method.type"], values.get("quantization.type")
    if method in ("lora", "qlora", "dora", "rslora"):
        document["adapter"] = "qlora" if method == "qlora" or bits == "nf4" else "lora"
        document |= {"dora": {"peft_use_dora": True}, "rslora": {"peft_use_rslora": True}}.get(method, {})
        said.add("method.type")
    elif method == "full":
        said.add("method.type")
    if bits in ("nf4", "int8"):
        document["load_in_4bit" if bits == "nf4" else "load_in_8bit"] = True
        said.add("quantization.type")
    if values.get("training.stage") == "kto" and "training.kto.beta" in values:
        document["rl_beta"] = values["training.kto.beta"]
        said.add("training.kto.beta")
    named = Choice(templates.PATH, templates.AXOLOTL).write(values.get(templates.PATH))
    if named is not None:
        document["chat_template"] = named
        said.add(templates.PATH)
    modules = values.get("method.lora.targetModules")
    if modules:
        document |= (
            {"lora_target_linear": True} if modules == ["all-linear"] else {"lora_target_modules": modules}
        )
        said.add("method.lora.targetModules")
    if values.get("training.stage") in ("dpo", "kto", "grpo"):
        loss = values.get("training.dpo.lossType", "sigmoid")
        document["rl"] = loss if loss in ("ipo", "orpo", "simpo") else values["training.stage"]
        said |= {"training.stage", "training.dpo.lossType"}
    if values.get("training.stage") == "sft":
        said.add("training.stage")
    if values.get("dataset.evalSplit"):
        document["val_set_size"] = values["dataset.evalSplit"]
        said.add("dataset.evalSplit")
    document["datasets"] = [_axolotl_data(values, said)]
    return document, said


def _axolotl_data(values: Values, said: set[str]) -> dict[str, Any]:
    formats = {"alpaca": "alpaca", "text": "completion", "messages": "chat_template"}
    data: dict[str, Any] = {}
    if values.get("dataset.format") == "sharegpt":
        # Axolotl has no type of that name any more: it is a chat template over other keys.
        data |= {"type": "chat_template", "field_messages": "conversations"}
        data["message_property_mappings"] = {"role": "from", "content": "value"}
        said.add("dataset.format")
    fields = {
        "dataset.train.hub.id": "path",
        "dataset.train.path": "path",
        "dataset.train.hub.split": "split",
        "dataset.train.hub.config": "name",
        "dataset.columns.messages": "field_messages",
    }
    for path, key in fields.items():
        if path in values:
            data[key] = values[path]
            said.add(path)
    if values.get("dataset.format") in formats:
        data["type"] = formats[values["dataset.format"]]
        said.add("dataset.format")
    return data


_TARGETS: Final[Mapping[str, tuple[Table, Special, Mapping[str, str]]]] = {
    "llamafactory": (
        {key: rule for key, rule in llamafactory.TABLE.items() if "." not in key},
        _llamafactory,
        llamafactory.LOST,
    ),
    "axolotl": (
        {key: rule for key, rule in axolotl.TABLE.items() if "[" not in key},
        _axolotl,
        axolotl.LOST,
    ),
}
