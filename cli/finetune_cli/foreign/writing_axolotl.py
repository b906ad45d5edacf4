"""What of an Axolotl configuration takes more than a table: keys that hang on one another.

Its schema overlooks keys that it does not know, so that a wrong name would be lost in silence, and refuses
combinations that it can't train.
"""

from typing import Any, Final

from finetune_cli.foreign import templates, training_loop, writing_axolotl_data
from finetune_cli.foreign.draft import Draft, Values
from finetune_cli.foreign.rules import Choice

_ADAPTERS: Final = {"dora": {"peft_use_dora": True}, "rslora": {"peft_use_rslora": True}}
_PREFERENCES: Final = ("ipo", "orpo", "simpo")
"""Losses of stage dpo that are a stage of their own there."""
_LOSSES: Final = {"hinge": "hinge", "robust": "robust", "bcoPair": "bco_pair"}
"""Other losses of stage dpo, by TRL's names."""
_WITHOUT_ADAPTER: Final = "without an adapter it trains every weight: as the file is, it would do so"
_LIGER: Final = ("rope", "rms_norm", "glu_activation", "fused_linear_cross_entropy")
_TRACKERS: Final = {
    "wandb": {"project": "wandb_project", "run": "wandb_name", "workspace": "wandb_entity"},
    "mlflow": {"project": "mlflow_experiment_name", "run": "mlflow_run_name", "url": "mlflow_tracking_uri"},
    "comet": {"project": "comet_project_name", "workspace": "comet_workspace"},
    "trackio": {"project": "trackio_project_name", "run": "trackio_run_name"},
    "tensorboard": {},
}
"""The keys of each tracker that say its project, the name of the run, its owner and its address."""


def draft(values: Values) -> Draft:
    """Return the keys that take more than a table, and the paths that are settled by them."""
    found = Draft(values)
    found.say("model.id", "model.path")
    if name := values.get("model.id") or values.get("model.path"):
        found.document["base_model"] = name
    _stage(found)
    training_loop.duration(found)
    _precision(found)
    training_loop.schedule(found, "lr_scheduler")
    _quantization(found)
    _method(found)
    _memory(found)
    _template(found)
    _evaluation(found)
    _order(found)
    if values["training.optimizer"].startswith(("galore", "apollo")):
        found.document["optim_target_modules"] = "all_linear"
    _trackers(found)
    writing_axolotl_data.write(found)
    return found


def _stage(draft: Draft) -> None:
    stage, path = draft.values["training.stage"], "training.stage"
    if stage == "sft" or (stage == "pretrain" and draft.values["dataset.format"] == "text"):
        draft.say(path)
    elif stage == "dpo":
        _preferences(draft)
    elif stage == "kto":
        draft.say(path, rl="kto", remove_unused_columns=False)
        if "training.kto.beta" in draft.values:
            draft.say("training.kto.beta", rl_beta=draft.values["training.kto.beta"])
    elif stage == "grpo":
        draft.say(path, rl="grpo")
        _groups(draft)
    else:
        why = {
            "pretrain": "it pretrains on the format text",
            "rm": "its reward models read columns of their own",
        }
        draft.lose(path, f"{why.get(stage, f'it has no {stage}')}: as the file is, it would do sft")


def _preferences(draft: Draft) -> None:
    loss = draft.values.get("training.dpo.lossType", "sigmoid")
    draft.say("training.stage", "training.dpo.lossType", rl=loss if loss in _PREFERENCES else "dpo")
    if loss in _LOSSES:
        draft.document["dpo_loss_type"] = [_LOSSES[loss]]
    ratio = "training.schedule.warmupRatio"
    if loss == "simpo" and not draft.settled(ratio):
        draft.lose(ratio, "simpo takes warmupSteps there, not a share")


def _groups(draft: Draft) -> None:
    """Write the section of TRL's settings for GRPO, which takes rewards from a file of the user's own."""
    keys = {
        "groupSize": "num_generations",
        "klCoefficient": "beta",
        "clipRange": "epsilon",
        "updatesPerBatch": "num_iterations",
        "sampling.maxNewTokens": "max_completion_length",
        "sampling.temperature": "temperature",
        "sampling.topP": "top_p",
        "rewardWeights": "reward_weights",
    }
    paths = {f"training.grpo.{ours}": theirs for ours, theirs in keys.items()}
    draft.document["trl"] = {
        theirs: draft.values[path]
        for path, theirs in paths.items()
        if draft.values.get(path) not in (None, [])
    }
    draft.say(*paths)
    if "training.grpo.rewardFunctions" in draft.values:
        reason = "it imports functions from a file of one's own: name them in trl.reward_funcs"
        draft.lose("training.grpo.rewardFunctions", reason)


def _precision(draft: Draft) -> None:
    """Write the arithmetic, all of it: bf16 and tf32 are on there where the GPU has them."""
    match draft.values["training.precision"]:
        case "bf16":
            draft.document["bf16"] = True
        case "fp16":
            draft.document |= {"bf16": False, "fp16": True}
        case "tf32":
            draft.document |= {"tf32": True, "bf16": False}
        case "fp32":
            draft.document |= {"bf16": False, "tf32": False}
        case _:
            draft.document["bf16"] = "auto" if draft.accelerated else False
    draft.say("training.precision")


def _method(draft: Draft) -> None:
    method, bits = draft.values["method.type"], draft.values["quantization.type"]
    if method == "full":
        return draft.say("method.type")
    if method in ("freeze", "spectrum"):
        return draft.lose("method.type", f"it has no {method}; {_WITHOUT_ADAPTER}")
    draft.say(
        "method.type", adapter="qlora" if bits in ("nf4", "fp4") else "lora", **_ADAPTERS.get(method, {})
    )
    return _adapter(draft)


def _quantization(draft: Draft) -> None:
    kind, double = draft.values["quantization.type"], "quantization.doubleQuantization"
    if kind in ("nf4", "fp4"):
        details = {"bnb_4bit_quant_type": kind, "bnb_4bit_use_double_quant": draft.values[double]}
        draft.say("quantization.type", double, load_in_4bit=True, bnb_config_kwargs=details)
    elif kind == "int8":
        draft.say("quantization.type", load_in_8bit=True)
    elif kind == "none":
        draft.say("quantization.type")
    else:
        draft.lose("quantization.type", f"it has no {kind}: as the file is, the base is not quantized")


def _adapter(draft: Draft) -> None:
    values = draft.values
    modules, pattern = "method.lora.targetModules", "method.lora.targetPattern"
    if pattern in values:
        draft.say(modules, pattern, lora_target_modules=values[pattern])
    elif values[modules] == ["all-linear"]:
        draft.say(modules, lora_target_linear=True)
    else:
        draft.say(modules, lora_target_modules=values[modules])
    alpha = values["method.lora.alpha"]
    if alpha == int(alpha):
        draft.say("method.lora.alpha", lora_alpha=int(alpha))
    else:
        draft.lose("method.lora.alpha", "it is a whole number there")
    lists = {
        "method.lora.modulesToSave": "lora_modules_to_save",
        "method.lora.layersToTransform": "peft_layers_to_transform",
    }
    for path, key in lists.items():
        if values.get(path):
            draft.say(path, **{key: values[path]})
    if "method.lora.layersPattern" in values:
        draft.say("method.lora.layersPattern", peft_layers_pattern=[values["method.lora.layersPattern"]])
    _initialization(draft)


def _initialization(draft: Draft) -> None:
    path = "method.lora.initialization"
    start = "pissa" if draft.values["method.type"] == "pissa" else draft.values[path]
    if start == "pissa":
        iterations = draft.values["method.lora.pissaIterations"]
        start = f"pissa_niter_{iterations}" if iterations else "pissa"
        draft.say("method.lora.pissaIterations")
    if start != "auto":
        draft.document["peft_init_lora_weights"] = True if start == "default" else start
    draft.say(path)


def _memory(draft: Draft) -> None:
    """Write checkpointing, which is off there where nothing is said, attention and kernels."""
    path = "training.gradientCheckpointing"
    draft.say(path, gradient_checkpointing=draft.values[path] != "none")
    if draft.values["dataset.packing"] and draft.values["model.attention"] == "auto":
        # With attention of its own choice Axolotl would let the records of one sequence see one another.
        draft.say("model.attention", attn_implementation="flash_attention_2")
    if draft.values["model.kernels"] == "liger":
        draft.document |= {"plugins": ["axolotl.integrations.liger.LigerPlugin"]}
        draft.document |= {f"liger_{kernel}": True for kernel in _LIGER}
        draft.say("model.kernels")
    if draft.values["training.compile"] == "none":
        draft.say("training.compile")
    else:
        draft.document["torch_compile"] = True
    draft.say("distributed.timeoutSeconds", ddp_timeout=draft.values["distributed.timeoutSeconds"])


def _template(draft: Draft) -> None:
    named = Choice(templates.PATH, templates.AXOLOTL).write(draft.values.get(templates.PATH))
    if named is not None:
        draft.say(templates.PATH, chat_template=named)
    elif "model.tokenizer.chatTemplate" in draft.values:
        draft.document["chat_template"] = "jinja"


def _evaluation(draft: Draft) -> None:
    if draft.values["dataset.evalSplit"]:
        draft.say("dataset.evalSplit", val_set_size=draft.values["dataset.evalSplit"])
    training_loop.cadence(draft)


def _order(draft: Draft) -> None:
    keys = {"sequential": "curriculum_sampling", "groupByLength": "group_by_length"}
    if key := keys.get(draft.values["training.sampling"]):
        draft.document[key] = True
    draft.say("training.sampling")


def _trackers(draft: Draft) -> None:
    trackers: list[dict[str, Any]] = draft.values.get("tracking.trackers", [])
    facts = {"project": draft.values.get("tracking.project"), "run": draft.values.get("tracking.runName")}
    others = []
    for tracker in trackers:
        if tracker["type"] not in _TRACKERS:
            others.append(tracker["type"])
            continue
        draft.document[f"use_{tracker['type']}"] = True
        known = facts | {key: tracker.get(key) for key in ("workspace", "url")}
        keys = _TRACKERS[tracker["type"]]
        draft.document |= {key: known[fact] for fact, key in keys.items() if known[fact] is not None}
    if others:
        draft.lose("tracking.trackers", f"it has no {', '.join(others)}")
    else:
        draft.say("tracking.trackers")
    if len(others) < len(trackers):
        draft.say("tracking.project", "tracking.runName")
