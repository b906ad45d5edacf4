"""LLaMA-Factory's native YAML.

Keys, values and defaults as of the project's commits 00577a85 and 072bfe29 (src/llamafactory/hparams).
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from finetune_cli.foreign import arguments, dataset_info, rules, templates
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
    left,
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


def _system(value: Any) -> Result:
    if value == "":
        return Mapped({}, "no system prompt but the records' own")
    return Mapped({"dataset.preprocessing.systemPrompt": value})


def _validation(value: Any) -> Result:
    if isinstance(value, float) and 0 <= value < 1:
        return Mapped({"dataset.evalSplit": value})
    return NotMapped("a number of records: dataset.evalSplit is a share")


def defaults(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what LLaMA-Factory does where the document is silent, where a job would do something else."""
    absent: dict[str, Any] = {**arguments.DEFAULTS, "disable_gradient_checkpointing": False}
    if document.get("finetuning_type", "lora") == "lora":
        rank = document.get("lora_rank", 8)
        alpha = 2 * rank if isinstance(rank, int) else 16
        absent |= {"lora_rank": rank, "lora_alpha": alpha, "lora_dropout": 0.0}
    return absent


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
    "pissa_convert": Left("the adapter is written as PEFT writes it"),
    "create_new_adapter": Left("a job always starts an adapter of its own"),
    "adapter_name_or_path": Left("a job starts an adapter of its own"),
    "ignore_pad_token_for_loss": Left("padding never counts in the loss"),
    "use_fast_tokenizer": Left("fast tokenizers are used where there are any"),
    "low_cpu_mem_usage": Left("models are always loaded in this way"),
    "use_reentrant_gc": Left("the trainer chooses how it checkpoints"),
    **left("speed is measured anyway", "include_effective_tokens_per_second", "compute_accuracy"),
    **left("there is no such optimizer here", "use_badam", "use_adam_mini", "use_muon"),
    **left("data sets are not mixed", "mix_strategy", "interleave_probs", "eval_on_each_dataset"),
    **left(
        "tokens are kept beside the checkpoints", "tokenized_path", "preprocessing_batch_size", "buffer_size"
    ),
    **left("the tokenizer's own vocabulary is used", "resize_vocab", "add_tokens", "add_special_tokens"),
    **left("the tokenizer's own vocabulary is used", "new_special_tokens_config", "init_special_tokens"),
    **left("special tokens are never split", "split_special_tokens"),
    **left(
        "there is no such method here", "use_llama_pro", "mixture_of_depths", "shift_attn", "use_dft_loss"
    ),
    **left("there is no such method here", "oft_rank", "oft_block_size", "oft_target", "module_dropout"),
    **left("the model's own positions are kept", "rope_scaling"),
    **left("write model.config for a model from scratch", "train_from_scratch"),
    **left("the model's own loss is used", "moe_aux_loss_coef", "ld_alpha", "pref_bco_weight", "simpo_gamma"),
    **left("its default is used", "galore_target", "galore_rank", "galore_update_interval", "galore_scale"),
    **left("its default is used", "galore_proj_type", "galore_layerwise", "apollo_target", "apollo_rank"),
    **left(
        "its default is used", "apollo_update_interval", "apollo_scale", "apollo_proj", "apollo_proj_type"
    ),
    **left("its default is used", "apollo_scale_type", "apollo_layerwise", "apollo_scale_front"),
    **left("PPO's own settings are in training.ppo", "ppo_buffer_size", "ppo_epochs", "ppo_score_norm"),
    **left("PPO's own settings are in training.ppo", "ppo_target", "ppo_whiten_rewards", "reward_model_type"),
    **left("whole models only", "ref_model_adapters", "reward_model_adapters"),
    **left("whole models only", "ref_model_quantization_bit", "reward_model_quantization_bit"),
    **left("see model.kernels", "use_unsloth_gc", "use_v1_kernels"),
    **left("there is no such precision here", "fp8", "fp8_backend", "upcast_lmhead_output"),
    **left("only text is trained on", "media_dir", "freeze_vision_tower", "freeze_multi_modal_projector"),
    **left("only text is trained on", "freeze_language_model", "image_max_pixels", "video_max_pixels"),
    **left("that is for inference", "infer_backend", "infer_dtype", "use_kv_cache", "offload_folder"),
    **left("that is for inference", "eval_num_beams", "tool_format", "predict_with_generate"),
    **left("there is no such tracker here", "use_swanlab"),
    **left("only the Hugging Face hub is read", "ms_hub_token", "om_hub_token"),
    **left("nothing to debug in a job", "print_param_status"),
    **{f"{dataset_info.PREFIX}.{key}": rule for key, rule in dataset_info.TABLE.items()},
    **{f"{dataset_info.EVAL_PREFIX}.{key}": rule for key, rule in dataset_info.EVAL_TABLE.items()},
    "plot_loss": Left("curves lie beside the checkpoints, in metrics.jsonl"),
    "save_only_model": Left("a checkpoint always holds what resuming needs"),
}

LOST: Final = {
    "model.config": "it starts from weights: save a model of this shape, and name its directory",
    "model.tokenizer.train": "it has no training of tokenizers",
    "dataset.train": "LLaMA-Factory reads files, and data sets of the hub, in forms of its own",
    "dataset.eval": "LLaMA-Factory reads files, and data sets of the hub, in forms of its own",
    "dataset.columns": "dataset_info.json has no such column for this format",
    "dataset.format": "dataset_info.json has nothing that corresponds to it",
}
