"""The parameters of LlamaFarm: its PyTorch tuner, its LLaMA-Factory block and its commands."""

from typing import Final

from pydantic import JsonValue

from finetune_api.parameter_map.llamafarm_training import AUTO_PRECISION, TRAINING, TYPES
from finetune_api.parameter_map.row import NOTHING, Document, Elsewhere, Parameter

_LINEAR: Final[list[JsonValue]] = [
    "q_proj",
    "v_proj",
    "k_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
]
_QUANTIZED_IF_ASKED = "one closed field; the base is quantized only when somebody asks for it"

_BASE_MODEL = (
    Parameter(
        "base_model.huggingface_id", "model.id", "meta-llama/Llama-2-7b-hf", None, "no model is a default"
    ),
    Parameter(
        "base_model.cache_dir",
        "model.cache",
        "./model_cache",
        None,
        "a claim instead of a directory of the machine",
    ),
    Parameter("base_model.torch_dtype", "model.loadPrecision", "float16", "auto", AUTO_PRECISION, TYPES),
    Parameter(
        "base_model.load_in_8bit",
        "quantization.type",
        False,
        "none",
        _QUANTIZED_IF_ASKED,
        {True: "int8", False: "none"},
    ),
    Parameter(
        "base_model.load_in_4bit",
        "quantization.type",
        False,
        "none",
        _QUANTIZED_IF_ASKED,
        {True: "nf4", False: "none"},
    ),
    Elsewhere(
        "base_model.device_map",
        "decided: each rank holds its own device; distributed.zeroStage shares a model out among them",
    ),
    Parameter("base_model.trust_remote_code", "model.trustRemoteCode", False, False),
    Parameter(
        "base_model.use_auth_token",
        "model.tokenSecret",
        "${HF_TOKEN}",
        None,
        "a Secret instead of a value in the file",
    ),
)

_METHOD = (
    Parameter("method.type", "method.type", "lora", "lora", values={"lora": "lora", "qlora": "qlora"}),
    Parameter("method.r", "method.lora.rank", 16, 16),
    Parameter("method.alpha", "method.lora.alpha", 32, 32.0),
    Parameter(
        "method.dropout",
        "method.lora.dropout",
        0.1,
        0.05,
        "the value of the YAML framework and the LoRA service",
    ),
    Parameter(
        "method.target_modules",
        "method.lora.targetModules",
        _LINEAR,
        ["all-linear"],
        "all-linear is that list, by whatever names the model gives its layers",
    ),
    Parameter(
        "method.bias",
        "method.lora.bias",
        "none",
        "none",
        values={"none": "none", "all": "all", "lora_only": "loraOnly"},
    ),
    Parameter("method.lora_alpha", "method.lora.alpha", 32, 32.0),
    Parameter("method.lora_dropout", "method.lora.dropout", 0.1, 0.05, "as method.dropout"),
    Parameter("method.modules_to_save", "method.lora.modulesToSave", [], []),
    Parameter(
        "method.layers_to_transform", "method.lora.layersToTransform", None, [], "empty is all of them"
    ),
    Parameter("method.layers_pattern", "method.lora.layersPattern", None, None),
    Parameter(
        "method.quantization.load_in_4bit",
        "quantization.type",
        True,
        "none",
        _QUANTIZED_IF_ASKED,
        {True: "nf4", False: "none"},
    ),
    Parameter(
        "method.quantization.bnb_4bit_compute_dtype",
        "quantization.computeType",
        "float16",
        "auto",
        "auto follows training.precision",
        TYPES,
    ),
    Parameter(
        "method.quantization.bnb_4bit_quant_type",
        "quantization.type",
        "nf4",
        "none",
        _QUANTIZED_IF_ASKED,
        {"nf4": "nf4", "fp4": "fp4"},
    ),
    Parameter("method.quantization.bnb_4bit_use_double_quant", "quantization.doubleQuantization", True, True),
)

_LLAMAFACTORY = (
    Parameter(
        "fine_tuner.type",
        "training.engine",
        "pytorch",
        "transformers",
        "transformers is PyTorch's loop here",
        {"pytorch": "transformers", "llamafactory": "llamafactory"},
    ),
    Parameter(
        "llamafactory.model_name_or_path",
        "model.id",
        "meta-llama/Llama-2-7b-hf",
        None,
        "a path is model.path; no model is a default",
    ),
    Parameter(
        "llamafactory.finetuning_type",
        "method.type",
        "lora",
        "lora",
        values={"full": "full", "freeze": "freeze", "lora": "lora", "qlora": "qlora"},
    ),
    Parameter(
        "llamafactory.template",
        "model.tokenizer.chatTemplateName",
        "llama2",
        None,
        "absent: the tokenizer's own template",
    ),
    Parameter(
        "llamafactory.dataset",
        "dataset.train.path",
        "alpaca",
        None,
        "a name of LLaMA-Factory's registry becomes a source and a format of its own",
    ),
    Parameter(
        "llamafactory.quantization_bit",
        "quantization.type",
        4,
        "none",
        _QUANTIZED_IF_ASKED,
        {4: "nf4", 8: "int8"},
    ),
    Parameter("llamafactory.double_quantization", "quantization.doubleQuantization", True, True),
    Parameter("llamafactory.lora_rank", "method.lora.rank", 8, 16, "the other documents start at 16"),
    Parameter("llamafactory.lora_alpha", "method.lora.alpha", 16, 32.0, "twice the rank, as in the document"),
    Parameter("llamafactory.lora_dropout", "method.lora.dropout", 0.1, 0.05, "as method.dropout"),
    Parameter(
        "llamafactory.lora_target",
        "method.lora.targetModules",
        "q_proj,v_proj",
        ["all-linear"],
        "a list instead of a text with commas",
    ),
    Parameter(
        "llamafactory.stage",
        "training.stage",
        "sft",
        "sft",
        values={"sft": "sft", "rm": "rm", "ppo": "ppo", "dpo": "dpo"},
    ),
    Parameter("llamafactory.packing", "dataset.packing", False, False),
    Parameter(
        "llamafactory.upcast_layernorm",
        "model.upcastLayerNorm",
        True,
        False,
        "mixed precision keeps what it must in fp32 already",
    ),
    Parameter(
        "llamafactory.use_unsloth",
        "model.kernels",
        False,
        "none",
        "one closed field for all kernels",
        {True: "unsloth", False: "none"},
    ),
)

_DATA = (
    Parameter(
        "record.instruction",
        "dataset.columns.instruction",
        "instruction",
        None,
        "absent: the format's own name",
    ),
    Parameter("record.output", "dataset.columns.output", "output", None, "absent: the format's own name"),
    Elsewhere("datasplit --input", "`finetune data split FILE`"),
    Elsewhere("datasplit --train-output", "`finetune data split --train-output`"),
    Elsewhere("datasplit --eval-output", "`finetune data split --eval-output`"),
    Parameter(
        "datasplit --eval-percentage",
        "dataset.evalSplit",
        10,
        0.0,
        "evalSplit = percentage / 100 holds out while reading; `finetune data split` writes files",
        {10: 0.1},
    ),
)

_COMMANDS = (
    Elsewhere(
        "train --strategy", "`finetune run --set preset=NAME`; `finetune import` reads a strategy's file"
    ),
    Elsewhere("train --dataset", "`--set dataset.train.path=FILE`"),
    Elsewhere("train --epochs", "`--set training.epochs=3`"),
    Parameter(
        "finetune start --model", "model.id", "meta-llama/Llama-2-7b-hf", None, "no model is a default"
    ),
    Parameter("finetune start --dataset", "dataset.train.path", "train.jsonl", None, "no file is a default"),
    Parameter("finetune start --method", "method.type", "lora", "lora"),
    Parameter(
        "generate --prompt",
        "evaluation.generations.prompts",
        NOTHING,
        [],
        "asked before and after the training; `finetune generate --prompt` asks a result that is there",
    ),
    Elsewhere("generate --model", "`finetune generate --model DIR`, with an adapter or a whole model"),
    Elsewhere("tensorboard --logdir", "the run directory on the job's volume, with a tensorboard tracker"),
)

LLAMAFARM: Final = Document(
    "LlamaFarm",
    (
        *_BASE_MODEL,
        *_METHOD,
        *TRAINING,
        *_LLAMAFACTORY,
        *_DATA,
        *_COMMANDS,
    ),
)
