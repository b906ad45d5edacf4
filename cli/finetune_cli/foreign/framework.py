"""The YAML framework: sections model, fine_tuning, training, dataset, distributed, output, evaluation."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from finetune_cli.foreign import arguments, rules
from finetune_cli.foreign.reading import Reading
from finetune_cli.foreign.rules import Choice, Left, Mapped, NotMapped, Read, Result, Table, To, flag, switch

NAME: Final = "framework"


def recognises(document: dict[str, Any]) -> bool:
    """Whether a document is one of these."""
    return "fine_tuning" in document


def table(document: Mapping[str, Any]) -> Table:
    """Return the rules of its keys. An interval of evaluations stands twice in such files: the one under
    `evaluation` counts, where it is there."""
    evaluation = document.get("evaluation")
    said = evaluation if isinstance(evaluation, Mapping) else {}
    if said.get("eval_steps") is not None or said.get("eval_strategy", "steps") != "steps":
        return TABLE
    return {**TABLE, "output.eval_steps": To("evaluation.everySteps")}


def of_the_method(reading: Reading) -> Reading:
    """Return the reading without the settings of spectrum where another method trains: files of this program
    keep the sections of all methods side by side, and it reads the one of `fine_tuning.method`."""
    method = reading.spec.get("method", {})
    if method.get("type") == "spectrum" or "spectrum" not in method:
        return reading
    rest = {section: settings for section, settings in method.items() if section != "spectrum"}
    note = "no setting of the method that the file names"
    lines = (
        replace(line, paths=(), mapped=False, note=note)
        if any(path.startswith("method.spectrum.") for path in line.paths)
        else line
        for line in reading.lines
    )
    return Reading(reading.spec | {"method": rest}, tuple(lines))


def _tokenizer(value: Any) -> Result:
    return Mapped({"model.tokenizer.id": value}, "the same as the model's own needs no field")


def _layers(value: Any) -> Result:
    return (
        Mapped({}, "measured on the weights")
        if value == "auto"
        else Mapped({"method.spectrum.layers": value})
    )


def _benchmark(value: Any) -> Result:
    return (
        NotMapped("name tasks: evaluation.benchmarks wants a type and what to ask") if value else Mapped({})
    )


TABLE: Final[Table] = {
    "model.base_model": Read(rules.model),
    "model.tokenizer": Read(_tokenizer),
    "model.load_in_8bit": flag({"quantization.type": "int8"}, weak=True),
    "model.load_in_4bit": flag({"quantization.type": "nf4"}, weak=True),
    "model.trust_remote_code": To("model.trustRemoteCode"),
    "model.use_flash_attention": switch("model.attention", "flash_attention_2", "sdpa"),
    "model.use_liger_kernels": switch("model.kernels", "liger", "none"),
    "fine_tuning.method": Choice(
        "method.type",
        {name: name for name in ("full", "lora", "qlora", "spectrum", "dora", "pissa", "rslora")},
    ),
    "fine_tuning.lora.r": To("method.lora.rank"),
    "fine_tuning.lora.alpha": To("method.lora.alpha"),
    "fine_tuning.lora.dropout": To("method.lora.dropout"),
    "fine_tuning.lora.target_modules": rules.listed("method.lora.targetModules"),
    "fine_tuning.lora.bias": Choice("method.lora.bias", arguments.BIAS),
    "fine_tuning.lora.task_type": Choice(
        "method.lora.taskType", {"CAUSAL_LM": "causalLm", "SEQ_CLS": "sequenceClassification"}
    ),
    "fine_tuning.spectrum.snr_threshold": Read(
        lambda value: Mapped(
            {"method.spectrum.topFraction": round(1 - value, 6)}, "a percentile: the rest is trained"
        )
    ),
    "fine_tuning.spectrum.layers_to_finetune": Read(_layers),
    "fine_tuning.quantization.bits": Read(
        lambda value: (
            Mapped({"quantization.type": arguments.QUANTIZATION_BITS[value]}, weak=True)
            if value in arguments.QUANTIZATION_BITS
            else NotMapped("bits are 4 or 8")
        )
    ),
    "fine_tuning.quantization.bnb_4bit_compute_dtype": Choice("quantization.computeType", arguments.DTYPES),
    "fine_tuning.quantization.bnb_4bit_quant_type": Choice("quantization.type", {"nf4": "nf4", "fp4": "fp4"}),
    "fine_tuning.quantization.bnb_4bit_use_double_quant": To("quantization.doubleQuantization"),
    "training.epochs": To("training.epochs"),
    "training.micro_batch_size": To("training.microBatchSize"),
    "training.gradient_accumulation_steps": To("training.gradientAccumulationSteps"),
    "training.learning_rate": To("training.learningRate"),
    "training.lr_scheduler_type": Choice("training.schedule.type", arguments.SCHEDULES),
    "training.warmup_ratio": To("training.schedule.warmupRatio"),
    "training.max_grad_norm": To("training.maxGradNorm"),
    "training.optimizer": Choice("training.optimizer", arguments.OPTIMIZERS),
    "training.weight_decay": To("training.weightDecay"),
    "training.max_seq_length": To("training.maxSequenceLength"),
    "training.gradient_checkpointing": arguments.CHECKPOINTING,
    "training.mixed_precision": Choice("training.precision", arguments.PRECISIONS),
    "dataset.format": Choice(
        "dataset.format", {name: name for name in ("alpaca", "sharegpt", "oasst", "custom")}
    ),
    "dataset.train_path": rules.data("dataset.train"),
    "dataset.eval_path": rules.data("dataset.eval"),
    "dataset.preprocessing.add_eos_token": To("dataset.preprocessing.addEosToken"),
    "dataset.preprocessing.add_bos_token": To("dataset.preprocessing.addBosToken"),
    "dataset.preprocessing.use_chat_template": To("dataset.preprocessing.useChatTemplate"),
    "distributed.use_deepspeed": switch("distributed.engine", "deepspeed", "torch"),
    "distributed.deepspeed_config": arguments.TRAINER["deepspeed"],
    "distributed.zero_stage": To("distributed.zeroStage"),
    "distributed.gradient_accumulation_steps": To("training.gradientAccumulationSteps"),
    "output.output_dir": arguments.TRAINER["output_dir"],
    "output.logging_steps": To("training.loggingSteps"),
    "output.eval_steps": Left("evaluation says when: one interval is enough"),
    "output.save_steps": To("checkpoints.everySteps"),
    "output.save_total_limit": To("checkpoints.keep"),
    "output.push_to_hub": arguments.TRAINER["push_to_hub"],
    "output.hub_model_id": To("output.hub.id"),
    "evaluation.do_eval": arguments.TRAINER["do_eval"],
    "evaluation.eval_batch_size": To("evaluation.microBatchSize"),
    "evaluation.eval_strategy": rules.strategy("evaluation.everySteps", "evaluation.atEpochEnd"),
    "evaluation.eval_steps": To("evaluation.everySteps"),
    "evaluation.benchmarks": Read(_benchmark),
}
