"""The parameters of LlamaFarm: its PyTorch tuner, its LLaMA-Factory block and its commands."""

from typing import Final

from pydantic import JsonValue

from finetune_api.parameter_map.row import NOTHING, REQUIRED, Document, Elsewhere, Parameter, Values

_TYPES: Final[Values] = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32"}
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
_RATE_NAMES: Final[Values] = {"linear": "linear", "cosine": "cosine", "polynomial": "polynomial"}
_FITS_MOST = "1 × 16 is the document's effective batch of 4 × 4, and fits the most devices"
_AUTO_PRECISION = "auto is bf16 where the device has it, fp16 on older ones, fp32 on CPU"
_AUTO_CHECKPOINTING = "auto checkpoints where memory is short: elsewhere it only costs time"
_ONE_OPTIMIZER = "the document has optimizer and optim: here there is one field"
_OPTIMIZERS: Final[Values] = {
    "adamw_torch": "adamw",
    "adamw_8bit": "adamw8bit",
    "paged_adamw_8bit": "pagedAdamw8bit",
}

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
    Parameter("base_model.torch_dtype", "model.loadPrecision", "float16", "auto", _AUTO_PRECISION, _TYPES),
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
        _TYPES,
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

_TRAINING = (
    Parameter("training.batch_size", "training.microBatchSize", 4, 1, _FITS_MOST),
    Parameter(
        "training.gradient_accumulation_steps", "training.gradientAccumulationSteps", 4, 16, _FITS_MOST
    ),
    Parameter(
        "training.gradient_checkpointing",
        "training.gradientCheckpointing",
        True,
        "auto",
        _AUTO_CHECKPOINTING,
        {True: "full", False: "none"},
    ),
    Parameter("training.learning_rate", "training.learningRate", 2e-4, 2e-4),
    Parameter("training.lr_scheduler_type", "training.schedule.type", "cosine", "cosine", values=_RATE_NAMES),
    Parameter(
        "training.warmup_ratio", "training.schedule.warmupRatio", 0.1, 0.03, "the value of the YAML framework"
    ),
    Parameter(
        "training.warmup_steps",
        "training.schedule.warmupSteps",
        0,
        None,
        "absent: the ratio; 0 in the document means the same, here it means no warm-up",
    ),
    Parameter("training.num_epochs", "training.epochs", 3, 3.0),
    Parameter("training.max_steps", "training.maxSteps", -1, None, "absent instead of -1"),
    Parameter(
        "training.optimizer", "training.optimizer", "adamw_torch", "adamw", _ONE_OPTIMIZER, _OPTIMIZERS
    ),
    Parameter("training.adam_beta1", "training.adamBeta1", 0.9, 0.9),
    Parameter("training.adam_beta2", "training.adamBeta2", 0.999, 0.999),
    Parameter("training.adam_epsilon", "training.adamEpsilon", 1e-8, 1e-8),
    Parameter("training.weight_decay", "training.weightDecay", 0.01, 0.01),
    Parameter("training.max_grad_norm", "training.maxGradNorm", 1.0, 1.0),
    Parameter("training.fp16", "training.precision", True, "auto", _AUTO_PRECISION, {True: "fp16"}),
    Parameter("training.bf16", "training.precision", False, "auto", _AUTO_PRECISION, {True: "bf16"}),
    Parameter(
        "training.tf32",
        "training.precision",
        True,
        "auto",
        "a precision of its own here: bf16 and fp16 leave nothing for it to do",
        {True: "tf32"},
    ),
    Parameter(
        "training.use_flash_attention",
        "model.attention",
        True,
        "auto",
        "auto takes what the device and the image have",
        {True: "flash_attention_2", False: "sdpa"},
    ),
    Parameter(
        "training.dataloader_num_workers",
        "training.dataLoader.workers",
        4,
        0,
        "records are tokenised before the training, so that loading is cheap",
    ),
    Parameter("training.dataloader_pin_memory", "training.dataLoader.pinMemory", True, True),
    Parameter("training.optim", "training.optimizer", "adamw_8bit", "adamw", _ONE_OPTIMIZER, _OPTIMIZERS),
    Parameter(
        "training.group_by_length",
        "training.sampling",
        True,
        "random",
        "groups of one length make gradients less random; packing wastes no padding either",
        {True: "groupByLength", False: "random"},
    ),
    Parameter(
        "training.length_column_name",
        "dataset.columns.length",
        "length",
        None,
        "absent: the trainer counts the tokens itself",
    ),
    Parameter("training.seed", "training.seed", 42, 42),
    Parameter("training.data_seed", "training.dataSeed", None, None),
)

_EVALUATION = (
    Parameter(
        "training.eval_strategy",
        "evaluation.atEpochEnd",
        "steps",
        False,
        "steps is everySteps over 0, epoch is atEpochEnd, no is neither: both can be had",
        {"epoch": True, "steps": False, "no": False},
    ),
    Parameter("training.eval_steps", "evaluation.everySteps", 100, 100),
    Parameter(
        "training.eval_accumulation_steps",
        "evaluation.accumulationSteps",
        4,
        None,
        "absent: outputs move when the evaluation ends",
    ),
    Parameter(
        "training.per_device_eval_batch_size",
        "evaluation.microBatchSize",
        4,
        None,
        "absent: training.microBatchSize, which is known to fit",
    ),
    Parameter(
        "training.compute_metrics",
        "evaluation.metrics",
        True,
        [],
        "the loss always; others by name",
        {True: ["perplexity", "tokenAccuracy"], False: []},
    ),
    Parameter(
        "training.early_stopping",
        "training.earlyStopping",
        True,
        None,
        "absent: no early stopping",
        {True: {}, False: None},
    ),
    Parameter("training.early_stopping_patience", "training.earlyStopping.patience", 3, 3),
    Parameter("training.early_stopping_threshold", "training.earlyStopping.threshold", 0.0001, 0.0001),
)

_CHECKPOINTS = (
    Parameter(
        "training.save_strategy",
        "checkpoints.atEpochEnd",
        "steps",
        False,
        "steps is everySteps over 0, epoch is atEpochEnd, no is neither: both can be had",
        {"epoch": True, "steps": False, "no": False},
    ),
    Parameter("training.save_steps", "checkpoints.everySteps", 500, 500),
    Parameter("training.save_total_limit", "checkpoints.keep", 3, 3),
    Parameter(
        "training.load_best_model_at_end",
        "output.checkpoint",
        True,
        "last",
        "the best one is known only where there is evaluation data",
        {True: "best", False: "last"},
    ),
    Parameter("training.metric_for_best_model", "checkpoints.metric", "loss", "loss"),
    Parameter("training.greater_is_better", "checkpoints.greaterIsBetter", False, False),
    Parameter("training.push_to_hub", "output.hub", False, None, "absent: nothing is pushed"),
    Parameter("training.hub_model_id", "output.hub.id", None, REQUIRED, "required within output.hub"),
    Parameter(
        "training.hub_strategy",
        "output.hub.strategy",
        "every_save",
        "end",
        "the result is pushed once it has been loaded and run",
        {"every_save": "everySave", "checkpoint": "checkpoint", "end": "end"},
    ),
    Parameter(
        "training.hub_token",
        "output.hub.tokenSecret",
        "${HF_TOKEN}",
        REQUIRED,
        "a Secret instead of a value in the file",
    ),
)

_LOGGING = (
    Parameter("training.logging_steps", "training.loggingSteps", 10, 10),
    Parameter("training.logging_first_step", "training.loggingFirstStep", True, True),
    Parameter(
        "training.report_to",
        "tracking.trackers[].type",
        ["tensorboard"],
        REQUIRED,
        "none is an empty list; metrics.jsonl and the status are there without a tracker",
        {"tensorboard": "tensorboard", "wandb": "wandb"},
    ),
)

_OPTIMIZATION = (
    Parameter(
        "optimization.cuda.use_flash_attention",
        "model.attention",
        True,
        "auto",
        "auto takes what the device and the image have",
        {True: "flash_attention_2", False: "sdpa"},
    ),
    Parameter(
        "optimization.cuda.use_bf16", "training.precision", True, "auto", _AUTO_PRECISION, {True: "bf16"}
    ),
    Parameter(
        "optimization.cuda.gradient_checkpointing",
        "training.gradientCheckpointing",
        True,
        "auto",
        _AUTO_CHECKPOINTING,
        {True: "full", False: "none"},
    ),
    Parameter(
        "optimization.cuda.optim", "training.optimizer", "adamw_8bit", "adamw", _ONE_OPTIMIZER, _OPTIMIZERS
    ),
    Parameter("optimization.cuda.per_device_batch_size", "training.microBatchSize", 8, 1, _FITS_MOST),
    Elsewhere(
        "optimization.mps.use_cpu_offload",
        "not a field: pods have no Apple GPU; offload is distributed.offload.optimizer",
    ),
    Parameter(
        "optimization.mps.torch_dtype",
        "model.loadPrecision",
        "float32",
        "auto",
        "auto is fp32 without a GPU of ours",
        _TYPES,
    ),
    Parameter(
        "optimization.mps.per_device_batch_size", "training.microBatchSize", 2, 1, "1 fits the most devices"
    ),
    Parameter(
        "optimization.mps.gradient_accumulation_steps",
        "training.gradientAccumulationSteps",
        8,
        16,
        "1 × 16 is the document's effective batch of 2 × 8",
    ),
    Parameter(
        "optimization.cpu.torch_dtype",
        "model.loadPrecision",
        "float32",
        "auto",
        "auto is fp32 on CPU",
        _TYPES,
    ),
    Parameter("optimization.cpu.per_device_batch_size", "training.microBatchSize", 1, 1),
    Parameter("optimization.cpu.gradient_accumulation_steps", "training.gradientAccumulationSteps", 16, 16),
    Elsewhere("optimization.cpu.use_ipex", "not a field: PyTorch itself holds what that extension added"),
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
        *_TRAINING,
        *_EVALUATION,
        *_CHECKPOINTS,
        *_LOGGING,
        *_OPTIMIZATION,
        *_LLAMAFACTORY,
        *_DATA,
        *_COMMANDS,
    ),
)
