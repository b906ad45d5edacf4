"""What of a LLaMA-Factory configuration takes more than a table: keys that hang on one another.

Its parser refuses a file for any key that it does not know, and for combinations that it can't train.
"""

from typing import Any, Final

from finetune_cli.foreign import templates, training_loop
from finetune_cli.foreign.draft import Draft, Values
from finetune_cli.foreign.rules import Choice

_STAGES: Final = ("sft", "pretrain", "rm", "dpo", "kto", "ppo")
_ADAPTERS: Final = {"dora": "use_dora", "pissa": "pissa_init", "rslora": "use_rslora"}
_PROJECTING: Final = {"galoreAdamw": "use_galore", "apolloAdamw": "use_apollo"}
_TRACKERS: Final = {
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "mlflow": "mlflow",
    "comet": "comet_ml",
    "trackio": "trackio",
}


def draft(values: Values) -> Draft:
    """Return the keys that take more than a table, and the paths that are settled by them."""
    found = Draft(values)
    found.say("model.id", "model.path", do_train=True)
    if name := values.get("model.id") or values.get("model.path"):
        found.document["model_name_or_path"] = name
    _stage(found)
    training_loop.duration(found)
    _precision(found)
    _schedule(found)
    _method(found)
    _quantization(found)
    _optimizer(found)
    _memory(found)
    _data(found)
    _evaluation(found)
    _trackers(found)
    if "output.hub.id" in values:
        found.document["push_to_hub"] = True
    return found


def _stage(draft: Draft) -> None:
    stage = draft.values["training.stage"]
    if stage not in _STAGES:
        draft.lose("training.stage", f"it has no stage {stage}: as the file is, it would do sft")
    if stage == "kto" and "training.kto.beta" in draft.values:
        draft.say("training.kto.beta", pref_beta=draft.values["training.kto.beta"])
    if stage == "ppo":
        _ppo(draft)


def _ppo(draft: Draft) -> None:
    model = draft.values.get("training.ppo.rewardModelId") or draft.values.get("training.ppo.rewardModelPath")
    draft.say("training.ppo.rewardModelId", "training.ppo.rewardModelPath")
    draft.document |= {"reward_model_type": "full", "top_k": 0} | ({"reward_model": model} if model else {})
    sampling = {"maxNewTokens": "max_new_tokens", "temperature": "temperature", "topP": "top_p"}
    for ours, theirs in {f"sampling.{key}": name for key, name in sampling.items()}.items():
        draft.say(f"training.ppo.{ours}", **{theirs: draft.values[f"training.ppo.{ours}"]})
    draft.say("training.ppo.updatesPerBatch", ppo_epochs=draft.values["training.ppo.updatesPerBatch"])


def _precision(draft: Draft) -> None:
    """Write the arithmetic. Its own default is the weights' type without a cast, which is no `auto`."""
    precision = draft.values["training.precision"]
    whole = draft.values["method.type"] in ("full", "freeze")
    if precision == "bf16" and draft.values["model.loadPrecision"] == "bf16" and whole:
        draft.say("training.precision", "model.loadPrecision", pure_bf16=True)
    elif precision in ("bf16", "fp16", "tf32"):
        draft.say("training.precision", **{precision: True})
    elif precision == "fp32":
        draft.say("training.precision", bf16=False)
    elif draft.accelerated:
        draft.say("training.precision", bf16=True)


def _schedule(draft: Draft) -> None:
    path = "training.schedule.minLearningRateRatio"
    training_loop.schedule(draft, "lr_scheduler_type")
    if draft.values["training.schedule.type"] == "cosine" and (lowest := draft.values[path]):
        draft.say(path, lr_scheduler_type="cosine_with_min_lr", lr_scheduler_kwargs={"min_lr_rate": lowest})


def _method(draft: Draft) -> None:
    method = draft.values["method.type"]
    if method in ("full", "freeze"):
        draft.say("method.type", finetuning_type=method)
    elif method == "spectrum":
        draft.lose("method.type", "it has no spectrum: as the file is, it would train LoRA adapters")
    else:
        draft.say("method.type", finetuning_type="lora")
        if key := _ADAPTERS.get(method):
            draft.document[key] = True
    if method == "freeze":
        draft.document["freeze_trainable_layers"] = _freeze(draft)
    if draft.document.get("finetuning_type") == "lora":
        _adapter(draft)


def _freeze(draft: Draft) -> int:
    """Return how many layers are trained: counted from the first one when negative."""
    draft.say("method.freeze.trainableLayers", "method.freeze.fromLayer")
    count = int(draft.values.get("method.freeze.trainableLayers", 2))
    return -count if draft.values.get("method.freeze.fromLayer") == "first" else count


def _adapter(draft: Draft) -> None:
    values = draft.values
    modules, alpha = values["method.lora.targetModules"], values["method.lora.alpha"]
    draft.say("method.lora.targetModules")
    draft.document["lora_target"] = "all" if modules == ["all-linear"] else ",".join(modules)
    draft.say("method.lora.alpha", lora_alpha=int(alpha) if alpha == int(alpha) else alpha)
    if values.get("method.lora.initialization") == "pissa":
        draft.say("method.lora.initialization", pissa_init=True)
    if draft.document.get("pissa_init"):
        _pissa(draft)


def _pissa(draft: Draft) -> None:
    """Take PiSSA back where its parser refuses it: with a reference model, and on a quantized base."""
    stage, loss = draft.values["training.stage"], draft.values.get("training.dpo.lossType", "sigmoid")
    referred = stage in ("ppo", "kto") or (stage == "dpo" and loss not in ("orpo", "simpo"))
    quantized = draft.values["quantization.type"] != "none"
    if referred or quantized:
        del draft.document["pissa_init"]
        where = "on a quantized base" if quantized else f"in stage {stage}"
        path = "method.type" if draft.values["method.type"] == "pissa" else "method.lora.initialization"
        draft.lose(path, f"it starts no adapters as PiSSA {where}: they start as LoRA's do")


def _quantization(draft: Draft) -> None:
    kind = draft.values["quantization.type"]
    if kind in ("nf4", "fp4"):
        draft.say("quantization.type", quantization_bit=4, quantization_type=kind)
    elif kind == "none":
        draft.say("quantization.type")
    elif kind == "int4":
        draft.lose("quantization.type", "its 4 bit are nf4 or fp4: as the file is, the base is not quantized")


def _optimizer(draft: Draft) -> None:
    optimizer = draft.values["training.optimizer"]
    if key := _PROJECTING.get(optimizer):
        draft.say("training.optimizer", **{key: True})


def _memory(draft: Draft) -> None:
    """Write checkpointing, which is on there where nothing is said, and kernels."""
    if draft.values["training.compile"] == "none":
        draft.say("training.compile")
    if draft.values["training.gradientCheckpointing"] == "none":
        draft.document["disable_gradient_checkpointing"] = True
    draft.say("training.gradientCheckpointing")
    kernels = {"liger": "enable_liger_kernel", "unsloth": "use_unsloth"}
    if key := kernels.get(draft.values["model.kernels"]):
        draft.document[key] = True
    draft.say("model.kernels", "distributed.timeoutSeconds")
    draft.document["ddp_timeout"] = draft.values["distributed.timeoutSeconds"]
    draft.lose_unless_default("distributed.backend", "auto", "its launcher chooses the backend")


def _data(draft: Draft) -> None:
    values = draft.values
    stage = values["training.stage"]
    draft.document |= _default_system(draft)
    if values["dataset.packing"] and stage == "sft":
        draft.say("dataset.packing", packing=True, neat_packing=True)
    elif stage == "pretrain":
        # Texts are one stream here, which is what LLaMA-Factory calls packing in this stage.
        draft.say("dataset.packing", packing=True)
    if values["dataset.streaming"] and "training.maxSteps" not in values:
        draft.lose("dataset.streaming", "it streams only where training.maxSteps is set")
    elif values["dataset.streaming"]:
        for path in ("dataset.maxSamples", "dataset.evalSplit"):
            if values.get(path):
                draft.lose(path, "it takes no such part of a stream")
    _supervision(draft)
    _order(draft)


def _supervision(draft: Draft) -> None:
    """Write which tokens count, which is a matter of sft alone there."""
    path = "dataset.preprocessing.supervise"
    supervise = draft.values[path]
    if supervise == "lastAnswer" and draft.values["training.stage"] == "sft":
        draft.say(path, mask_history=True)
    elif supervise != "auto" and draft.values["training.stage"] != "sft":
        usual = "all" if draft.values["training.stage"] == "pretrain" else "answers"
        draft.say(path) if supervise == usual else draft.lose(
            path, "it knows no other tokens than the stage's"
        )


def _order(draft: Draft) -> None:
    """Write the order of the records; older versions of transformers call it by other names."""
    match draft.values["training.sampling"]:
        case "sequential":
            draft.document["disable_shuffling"] = True
        case "groupByLength":
            draft.document["train_sampling_strategy"] = "group_by_length"
    draft.say("training.sampling")


def _default_system(draft: Draft) -> dict[str, str]:
    """Return the system prompt: an empty one where the template would add one that a job does not have."""
    path = "dataset.preprocessing.systemPrompt"
    draft.say(path)
    template = Choice(templates.PATH, templates.LLAMA_FACTORY).write(draft.values.get(templates.PATH))
    if path in draft.values or template in templates.LLAMA_FACTORY_NOTES:
        return {"default_system": draft.values.get(path, "")}
    return {}


def _evaluation(draft: Draft) -> None:
    stage = draft.values["training.stage"]
    if stage == "ppo" and draft.evaluates:
        reason = "it does not evaluate in stage ppo"
        for path in ("dataset.evalSplit", "dataset.eval.hub.id", "dataset.eval.path"):
            if draft.values.get(path):
                draft.lose(path, reason)
    elif draft.values["dataset.evalSplit"] and not draft.settled("dataset.evalSplit"):
        draft.say("dataset.evalSplit", val_size=draft.values["dataset.evalSplit"])
    training_loop.cadence(
        draft, best=f"it keeps the last one in stage {stage}" if stage in ("rm", "ppo") else ""
    )


def _trackers(draft: Draft) -> None:
    trackers: list[dict[str, Any]] = draft.values.get("tracking.trackers", [])
    names = [_TRACKERS[tracker["type"]] for tracker in trackers if tracker["type"] in _TRACKERS]
    draft.document["report_to"] = names or "none"
    if "trackio" not in names:
        draft.lose_unless_default(
            "tracking.project", None, "only trackio is told; others read the environment"
        )
    elif "tracking.project" not in draft.values:
        draft.document["project"] = "huggingface"
    others = [tracker["type"] for tracker in trackers if tracker["type"] not in _TRACKERS]
    if others:
        draft.lose("tracking.trackers", f"it has no {', '.join(others)}")
    elif any(set(tracker) & {"url", "workspace"} for tracker in trackers):
        draft.lose(
            "tracking.trackers", "only their names are told: addresses and owners are in the environment"
        )
    else:
        draft.say("tracking.trackers")
