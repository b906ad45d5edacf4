"""LLaMA-Factory's native YAML.

Keys, values and defaults as of llamafactory 0.9.5 (llamafactory.hparams), and names of earlier versions.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from finetune_cli.foreign import arguments, dataset_info, rules, templates
from finetune_cli.foreign.llamafactory_unmapped import UNMAPPED
from finetune_cli.foreign.rules import (
    Choice,
    Left,
    Mapped,
    NotMapped,
    Read,
    Result,
    Table,
    To,
    flag,
    switch,
)

NAME: Final = "llamafactory"


def recognises(document: dict[str, Any]) -> bool:
    """Whether a document is one of these."""
    return "model_name_or_path" in document and bool({"stage", "finetuning_type", "template"} & set(document))


def _target(value: Any) -> Result:
    if value == "all":
        return Mapped({"method.lora.targetModules": ["all-linear"]})
    return rules.listed("method.lora.targetModules").read(value)


def _dataset(section: str) -> Read:
    """Return the rule of a name that dataset_info.json did not explain."""

    def read(value: Any) -> Result:
        if isinstance(value, list) or "," in str(value):
            return NotMapped("a job reads one data set: join them first")
        result = rules.data(section).read(value)
        if isinstance(result, Mapped) and "/" not in str(value):
            return NotMapped(
                "a name in LLaMA-Factory's dataset_info.json, which was not found under dataset_dir: set "
                f"{section} to what it stands for"
            )
        return result

    return Read(read)


def _frozen(value: Any) -> Result:
    end = "last" if value > 0 else "first"
    return Mapped({"method.freeze.trainableLayers": abs(value), "method.freeze.fromLayer": end})


def _trained(value: Any) -> Result:
    names = value.split(",") if isinstance(value, str) else value
    if names in (["all"], []):
        return Mapped({}, "all is what is trained")
    return Mapped({"method.freeze.modulePatterns": [re.escape(name.strip()) for name in names]})


def _reward(value: Any) -> Result:
    text = str(value)
    path = text.startswith(("/", ".", "~")) or text.count("/") > 1
    return Mapped({"training.ppo.rewardModelPath" if path else "training.ppo.rewardModelId": text})


def _reward_type(value: Any) -> Result:
    return Mapped({}, "a whole model") if value == "full" else NotMapped("reward models are whole models")


def _top_k(value: Any) -> Result:
    return Mapped({}, "all are drawn from") if value == 0 else NotMapped("see training.ppo.sampling.topP")


def _system(value: Any) -> Result:
    if value == "":
        return Mapped({}, "no system prompt but the records' own")
    return Mapped({"dataset.preprocessing.systemPrompt": value})


def _validation(value: Any) -> Result:
    if isinstance(value, float) and 0 <= value < 1:
        return Mapped({"dataset.evalSplit": value})
    return NotMapped("a number of records: dataset.evalSplit is a share")


_GENERATING: Final[Table] = {
    "max_new_tokens": To("training.ppo.sampling.maxNewTokens"),
    "temperature": To("training.ppo.sampling.temperature"),
    "top_p": To("training.ppo.sampling.topP"),
    "top_k": Read(_top_k),
}
"""How answers are drawn in stage ppo; in the others they are for inference."""


def defaults(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what LLaMA-Factory does where the document is silent, where a job would do something else."""
    absent: dict[str, Any] = {**arguments.DEFAULTS, "disable_gradient_checkpointing": False}
    if document.get("finetuning_type", "lora") == "lora":
        rank = document.get("lora_rank", 8)
        alpha = 2 * rank if isinstance(rank, int) else 16
        absent |= {"lora_rank": rank, "lora_alpha": alpha, "lora_dropout": 0.0}
    return absent


TABLE: Final[Table] = {
    **UNMAPPED,
    **arguments.TRAINER,
    "model_name_or_path": Read(rules.model),
    "model_revision": To("model.revision"),
    "trust_remote_code": To("model.trustRemoteCode"),
    "hf_hub_token": arguments.TRAINER["hub_token"],
    "cache_dir": Left("downloads are kept on model.cache.claimName"),
    "finetuning_type": Choice(
        "method.type", {"lora": "lora", "full": "full", "freeze": "freeze", "qlora": "qlora"}
    ),
    "stage": Choice(
        "training.stage",
        {"sft": "sft", "pt": "pretrain", "rm": "rm", "dpo": "dpo", "kto": "kto", "ppo": "ppo"},
    ),
    "template": Choice(
        templates.PATH, templates.LLAMA_FACTORY, templates.OTHERWISE, templates.LLAMA_FACTORY_NOTES
    ),
    "dataset": _dataset("dataset.train"),
    "dataset_dir": Read(lambda _: Mapped({}, "where dataset_info.json is looked for")),
    "eval_dataset": _dataset("dataset.eval"),
    "val_size": Read(_validation),
    "cutoff_len": To("training.maxSequenceLength"),
    "max_samples": To("dataset.maxSamples"),
    "packing": To("dataset.packing"),
    "neat_packing": flag({"dataset.packing": True}),
    "streaming": To("dataset.streaming"),
    "train_on_prompt": Choice("dataset.preprocessing.supervise", {True: "all", False: "answers"}),
    "mask_history": flag({"dataset.preprocessing.supervise": "lastAnswer"}),
    "default_system": Read(_system),
    "preprocessing_num_workers": To("dataset.preprocessing.workers"),
    "overwrite_cache": Left("nothing of an earlier run is read"),
    "lora_rank": To("method.lora.rank"),
    "lora_alpha": To("method.lora.alpha"),
    "lora_dropout": To("method.lora.dropout"),
    "lora_target": Read(_target),
    "additional_target": rules.listed("method.lora.modulesToSave"),
    "loraplus_lr_ratio": To("method.lora.learningRateRatio"),
    "loraplus_lr_embedding": To("method.lora.embeddingLearningRate"),
    "use_rslora": To("method.lora.rankStabilized"),
    "use_dora": flag({"method.type": "dora"}, weak=False),
    "pissa_init": flag({"method.lora.initialization": "pissa"}),
    "pissa_iter": To("method.lora.pissaIterations"),
    "freeze_trainable_layers": Read(_frozen),
    "freeze_trainable_modules": Read(_trained),
    "freeze_extra_modules": rules.listed("method.freeze.extraModules"),
    "quantization_bit": Choice("quantization.type", arguments.QUANTIZATION_BITS),
    "quantization_type": Choice("quantization.type", {"nf4": "nf4", "fp4": "fp4"}),
    "quantization_method": Left("quantization.type says the type; the trainer knows the library"),
    "double_quantization": To("quantization.doubleQuantization"),
    "upcast_layernorm": To("model.upcastLayerNorm"),
    "flash_attn": Choice(
        "model.attention",
        {
            "auto": "auto",
            "disabled": "eager",
            "sdpa": "sdpa",
            "fa2": "flash_attention_2",
            "fa3": "flash_attention_3",
        },
    ),
    "use_unsloth": flag({"model.kernels": "unsloth"}),
    "enable_liger_kernel": flag({"model.kernels": "liger"}),
    "disable_gradient_checkpointing": Choice("training.gradientCheckpointing", {False: "full", True: "none"}),
    "pure_bf16": flag({"training.precision": "bf16", "model.loadPrecision": "bf16"}),
    "pref_beta": To("training.dpo.beta"),
    "pref_loss": Choice(
        "training.dpo.lossType",
        {"sigmoid": "sigmoid", "hinge": "hinge", "ipo": "ipo", "orpo": "orpo", "simpo": "simpo"},
    ),
    "pref_ftx": To("training.dpo.sftWeight"),
    "ref_model": To("training.dpo.referenceModel"),
    "reward_model": Read(_reward),
    "dpo_label_smoothing": To("training.dpo.labelSmoothing"),
    "kto_chosen_weight": To("training.kto.desirableWeight"),
    "kto_rejected_weight": To("training.kto.undesirableWeight"),
    "use_galore": flag({"training.optimizer": "galoreAdamw"}),
    "use_apollo": flag({"training.optimizer": "apolloAdamw"}),
    "disable_shuffling": switch("training.sampling", "sequential", "random"),
    "early_stopping_steps": To("training.earlyStopping.patience"),
    **{f"{dataset_info.PREFIX}.{key}": rule for key, rule in dataset_info.TABLE.items()},
    **{f"{dataset_info.EVAL_PREFIX}.{key}": rule for key, rule in dataset_info.EVAL_TABLE.items()},
    **_GENERATING,
    "ppo_epochs": To("training.ppo.updatesPerBatch"),
    "reward_model_type": Read(_reward_type),
}

LOST: Final = {
    "model.config": "it starts from weights: save a model of this shape, and name its directory",
    "model.tokenizer.train": "it has no training of tokenizers",
    "dataset.train": "LLaMA-Factory reads files, and data sets of the hub, in forms of its own",
    "dataset.eval": "LLaMA-Factory reads files, and data sets of the hub, in forms of its own",
    "dataset.columns": "dataset_info.json has no such column for this format",
    "dataset.format": "dataset_info.json has nothing that corresponds to it",
}
