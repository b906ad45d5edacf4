"""LLaMA-Factory's native YAML."""

from typing import Any, Final

from finetune_cli.foreign import arguments, rules
from finetune_cli.foreign.rules import Choice, Left, Mapped, NotMapped, Read, Result, Table, To, flag

NAME: Final = "llamafactory"


def recognises(document: dict[str, Any]) -> bool:
    """Whether a document is one of these."""
    return "model_name_or_path" in document and bool({"stage", "finetuning_type", "template"} & set(document))


def _target(value: Any) -> Result:
    if value == "all":
        return Mapped({"method.lora.targetModules": ["all-linear"]})
    return rules.listed("method.lora.targetModules").read(value)


def _dataset(value: Any) -> Result:
    if isinstance(value, list) or "," in str(value):
        return NotMapped("a job reads one data set: join them first")
    result = rules.data("dataset.train").read(value)
    if isinstance(result, Mapped) and "/" not in str(value):
        return NotMapped(
            "a name in LLaMA-Factory's dataset_info.json: set dataset.train to what it stands for"
        )
    return result


def _validation(value: Any) -> Result:
    if isinstance(value, float) and 0 <= value < 1:
        return Mapped({"dataset.evalSplit": value})
    return NotMapped("a number of records: dataset.evalSplit is a share")


def _template(value: Any) -> Result:
    return (
        NotMapped("the model's own chat template is used; another one goes into model.tokenizer")
        if value
        else Mapped({})
    )


TABLE: Final[Table] = {
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
    "template": Read(_template),
    "dataset": Read(_dataset),
    "dataset_dir": Left("dataset.train says where the data is"),
    "eval_dataset": rules.data("dataset.eval"),
    "val_size": Read(_validation),
    "cutoff_len": To("training.maxSequenceLength"),
    "max_samples": To("dataset.maxSamples"),
    "packing": To("dataset.packing"),
    "neat_packing": flag({"dataset.packing": True}),
    "streaming": To("dataset.streaming"),
    "train_on_prompt": Choice("dataset.preprocessing.supervise", {True: "all", False: "answers"}),
    "mask_history": flag({"dataset.preprocessing.supervise": "lastAnswer"}),
    "default_system": To("dataset.preprocessing.systemPrompt"),
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
    "freeze_trainable_layers": To("method.freeze.trainableLayers"),
    "freeze_extra_modules": rules.listed("method.freeze.extraModules"),
    "quantization_bit": Choice("quantization.type", arguments.QUANTIZATION_BITS),
    "quantization_type": Choice("quantization.type", {"nf4": "nf4", "fp4": "fp4"}),
    "quantization_method": Left("quantization.type says the type; the trainer knows the library"),
    "double_quantization": To("quantization.doubleQuantization"),
    "upcast_layernorm": To("model.upcastLayerNorm"),
    "flash_attn": Choice(
        "model.attention", {"auto": "auto", "disabled": "eager", "sdpa": "sdpa", "fa2": "flash_attention_2"}
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
    "reward_model": To("training.ppo.rewardModelId"),
    "plot_loss": Left("curves lie beside the checkpoints, in metrics.jsonl"),
    "save_only_model": Left("a checkpoint always holds what resuming needs"),
}

LOST: Final = {
    "dataset.train": "LLaMA-Factory finds data by a name in its dataset_info.json: register it there",
    "dataset.format": "dataset_info.json says the format there",
}
