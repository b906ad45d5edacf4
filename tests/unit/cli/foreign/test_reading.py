"""Configurations of other programs become jobs, and every one of their keys is answered for."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api import check_manifest
from finetune_cli.errors import CommandError
from finetune_cli.fields import all_fields
from finetune_cli.foreign import axolotl, engine, framework, llamafactory, llamafarm, trl, wizard
from finetune_cli.foreign.importing import import_job
from finetune_cli.foreign.reading import Reading, flatten, read
from finetune_cli.foreign.rules import Choice, Table, To
from finetune_cli.main import main

FRAMEWORK = """
model: {base_model: org/base, load_in_4bit: true, use_flash_attention: true, trust_remote_code: false}
fine_tuning:
  method: qlora
  lora: {r: 8, alpha: 16, target_modules: [q_proj, v_proj], bias: lora_only, task_type: CAUSAL_LM}
  quantization: {bits: 4, bnb_4bit_quant_type: fp4, bnb_4bit_compute_dtype: bfloat16}
training: {epochs: 2, learning_rate: 2e-4, optimizer: paged_adamw_8bit, mixed_precision: bf16}
dataset: {format: alpaca, train_path: /data/train.json, preprocessing: {add_bos_token: true}}
distributed: {use_deepspeed: true, deepspeed_config: ds.json, zero_stage: 2}
output: {output_dir: runs, save_steps: 50, hub_model_id: null}
evaluation: {do_eval: true, eval_strategy: steps, eval_steps: 40, benchmarks: [human-eval]}
"""
FRAMEWORK_COMPLETE = """
model:
  base_model: mistralai/Mistral-7B-v0.3
  tokenizer: mistralai/Mistral-7B-v0.3
  load_in_8bit: false
  load_in_4bit: true
  trust_remote_code: false
  use_flash_attention: true
  use_liger_kernels: false
fine_tuning:
  method: qlora
  lora: {r: 32, alpha: 64, dropout: 0.1, target_modules: [q_proj, v_proj], bias: none, task_type: CAUSAL_LM}
  spectrum: {snr_threshold: 0.6, layers_to_finetune: auto}
  quantization:
    bits: 4
    bnb_4bit_compute_dtype: bfloat16
    bnb_4bit_quant_type: nf4
    bnb_4bit_use_double_quant: true
training:
  epochs: 2
  micro_batch_size: 2
  gradient_accumulation_steps: 8
  learning_rate: 1.0e-4
  lr_scheduler_type: cosine
  warmup_ratio: 0.05
  max_grad_norm: 1.0
  optimizer: paged_adamw_8bit
  weight_decay: 0.01
  max_seq_length: 2048
  gradient_checkpointing: true
  mixed_precision: bf16
dataset:
  format: alpaca
  train_path: sets/train.json
  eval_path: sets/eval.json
  preprocessing: {add_eos_token: true, add_bos_token: false, use_chat_template: true}
distributed:
  use_deepspeed: true
  deepspeed_config: conf/zero.json
  zero_stage: 2
  gradient_accumulation_steps: 8
output:
  output_dir: runs/one
  logging_steps: 5
  eval_steps: 50
  save_steps: 200
  save_total_limit: 3
  push_to_hub: false
  hub_model_id: null
evaluation:
  do_eval: true
  eval_batch_size: 4
  eval_strategy: steps
  eval_steps: 100
  benchmarks: [lm-evaluation-harness]
"""
"""Every key that the program has, with the sections of methods that are not asked for."""
LLAMAFARM = """
components:
  fine_tuner:
    type: pytorch
    config:
      base_model: {huggingface_id: org/base, torch_dtype: float16, use_auth_token: "${TOKEN}"}
      method: {type: lora, r: 16, alpha: 32, lora_alpha: 32, layers_pattern: null}
      training: {batch_size: 4, num_epochs: 3, max_steps: -1, warmup_steps: 0, warmup_ratio: 0.1, fp16: true,
                 bf16: false, tf32: true, optim: adamw_8bit, optimizer: adamw_torch, report_to: [tensorboard]}
      optimization: {cuda: {use_bf16: true}}
"""
LLAMAFARM_FACTORY = """
fine_tuner:
  type: llamafactory
  config: {model_name_or_path: org/base, finetuning_type: lora, lora_rank: 8, lora_target: "q_proj,v_proj",
           quantization_bit: 4, template: llama2, stage: sft, upcast_layernorm: true, dataset: alpaca}
"""
ENGINE = """
model_config: {vocab_size: 50257, hidden_size: 256, num_layers: 4, num_heads: 4}
batch_size: 16
learning_rate: 0.001
max_steps: 100
mixed_precision: bf16
checkpoint_dir: ./checkpoints
wandb_project: mine
"""
FACTORY = """
model_name_or_path: org/base
stage: dpo
do_train: true
finetuning_type: lora
lora_target: all
template: llama3
dataset: org/preferences
cutoff_len: 2048
per_device_train_batch_size: 2
learning_rate: 1.0e-5
num_train_epochs: 2.0
lr_scheduler_type: cosine
bf16: true
pref_beta: 0.2
pref_loss: orpo
val_size: 0.1
eval_strategy: steps
eval_steps: 20
flash_attn: fa2
ddp_timeout: 180000000
plot_loss: true
"""
AXOLOTL = """
base_model: org/base
model_type: AutoModelForCausalLM
load_in_4bit: true
adapter: qlora
lora_r: 32
lora_target_linear: true
datasets:
- {path: org/one, type: alpaca, split: "train[:10]"}
- {path: org/two, type: alpaca}
val_set_size: 0.05
sequence_len: 4096
sample_packing: true
micro_batch_size: 2
num_epochs: 1
optimizer: adamw_bnb_8bit
lr_scheduler: cosine
bf16: auto
evals_per_epoch: 4
wandb_project:
special_tokens: {pad_token: "<pad>"}
"""
WIZARD = """
{"provider": "local", "algorithm": "rslora", "quantization": "none", "experiment_tracker": "comet",
 "project_name": "mine", "model_name": "org/base", "model_path": "/models/base", "dataset_id": "mine",
 "dataset_path": "/data/mine.json", "lora_r": 8, "lora_alpha": 16, "lora_dropout": 0.1,
 "target_modules": ["q_proj", "v_proj"], "learning_rate": 0.0002, "batch_size": 4,
 "gradient_accumulation_steps": 4, "num_epochs": 3}
"""
SILENT = "not in the file"
"""What is said of a key that the file does not have."""
DOCUMENTS = {
    "wizard": WIZARD,
    "framework": FRAMEWORK,
    "framework-complete": FRAMEWORK_COMPLETE,
    "llamafarm": LLAMAFARM,
    "llamafarm-factory": LLAMAFARM_FACTORY,
    "engine": ENGINE,
    "llamafactory": FACTORY,
    "axolotl": AXOLOTL,
}
TABLES: dict[str, Table] = {
    "wizard": wizard.TABLE,
    "framework": framework.TABLE,
    "llamafarm": llamafarm.table({"type": "pytorch"}),
    "llamafarm-factory": llamafarm.table({"type": "llamafactory"}),
    "engine": engine.TABLE,
    "llamafactory": llamafactory.TABLE,
    "axolotl": axolotl.TABLE,
    "trl": trl.TABLE,
}


@pytest.fixture
def imported(tmp_path: Path) -> Any:
    def do(text: str, *options: str) -> tuple[dict[str, Any], Reading]:
        file = tmp_path / "config.yaml"
        file.write_text(text)
        return import_job(str(file), options, None, "job")

    return do


def values(spec: dict[str, Any]) -> dict[str, Any]:
    return dict(flatten(spec))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_key_appears_in_the_account(imported: Any, name: str) -> None:
    _, reading = imported(DOCUMENTS[name])
    keys = [key for key, _ in flatten(yaml.safe_load(DOCUMENTS[name]))]
    assert [line.key for line in reading.lines if not line.note.startswith(SILENT)] == keys


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_not_mapped_says_why(imported: Any, name: str) -> None:
    _, reading = imported(DOCUMENTS[name])
    assert all(line.note for line in reading.lines if not line.paths)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_job_has_the_form_of_the_api(imported: Any, name: str) -> None:
    manifest, _ = imported(DOCUMENTS[name])
    manifest["spec"].setdefault("dataset", {}).setdefault("train", {"path": "/data"})
    assert check_manifest(manifest)[0] is not None, check_manifest(manifest)[1]


def test_a_key_that_nobody_knows_is_in_the_account_too() -> None:
    (line,) = read({"a": {"b": 1}}, {}).lines
    assert str(line) == "a.b: 1 → not mapped (this program does not know the key)"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "wizard",
            {
                "resources.provider": "local",
                "method.type": "rslora",
                "method.lora.rank": 8,
                "model.id": "org/base",
                "dataset.train.path": "/data/mine.json",
                "tracking.project": "mine",
            },
        ),
        (
            "framework",
            {
                "model.id": "org/base",
                "method.type": "qlora",
                "method.lora.bias": "loraOnly",
                "quantization.type": "fp4",
                "quantization.computeType": "bf16",
                "training.optimizer": "pagedAdamw8bit",
                "dataset.train.path": "/data/train.json",
                "evaluation.everySteps": 40,
            },
        ),
        (
            "llamafarm",
            {
                "model.loadPrecision": "fp16",
                "method.lora.alpha": 32,
                "training.precision": "fp16",
                "training.schedule.warmupRatio": 0.1,
                "training.optimizer": "adamw8bit",
            },
        ),
        (
            "llamafarm-factory",
            {
                "method.type": "qlora",
                "quantization.type": "nf4",
                "training.engine": "llamafactory",
                "method.lora.targetModules": ["q_proj", "v_proj"],
            },
        ),
        (
            "engine",
            {
                "model.config.architecture": "gpt2",
                "model.config.layers": 4,
                "training.stage": "pretrain",
                "tracking.project": "mine",
            },
        ),
        (
            "llamafactory",
            {
                "training.stage": "dpo",
                "training.dpo.lossType": "orpo",
                "method.lora.targetModules": ["all-linear"],
                "dataset.train.hub.id": "org/preferences",
                "distributed.timeoutSeconds": 86400,
            },
        ),
        (
            "axolotl",
            {
                "method.type": "qlora",
                "quantization.type": "nf4",
                "dataset.train.hub.split": "train[:10]",
                "dataset.packing": True,
                "training.precision": "auto",
            },
        ),
    ],
)
def test_values_land_where_the_api_has_them(imported: Any, name: str, expected: dict[str, Any]) -> None:
    found = values(imported(DOCUMENTS[name])[0]["spec"])
    assert {path: found.get(path) for path in expected} == expected


def test_two_keys_that_contradict_each_other_are_told(imported: Any) -> None:
    _, reading = imported(LLAMAFARM)
    (line,) = [line for line in reading.lines if line.key.endswith("training.optimizer")]
    assert not line.mapped
    assert line.note.startswith("training.optimizer is what components.fine_tuner.config.training.optim says")


def test_a_second_data_set_is_not_mapped(imported: Any) -> None:
    _, reading = imported(AXOLOTL)
    assert [line.note for line in reading.lines if line.key == "datasets[1].path"] == [
        "a job reads one data set: join them first"
    ]


def test_secrets_are_not_repeated(imported: Any) -> None:
    _, reading = imported(LLAMAFARM.replace("${TOKEN}", "hf_secret"))
    assert "hf_secret" not in "\n".join(map(str, reading.lines))


def test_of_a_complete_framework_file_only_the_places_of_the_data_are_left_to_mend(imported: Any) -> None:
    manifest, reading = imported(FRAMEWORK_COMPLETE)
    _, findings = check_manifest(manifest)
    assert [found.path for found in findings if found.severity != "suggestion"] == [
        "dataset.train.path",
        "dataset.eval.path",
    ]
    assert "spectrum" not in manifest["spec"]["method"]
    (line,) = (line for line in reading.lines if line.key == "fine_tuning.spectrum.snr_threshold")
    assert not line.mapped


def test_the_section_of_spectrum_counts_where_it_is_the_method(imported: Any) -> None:
    manifest, _ = imported(FRAMEWORK_COMPLETE, "--fine_tuning.method", "spectrum")
    assert manifest["spec"]["method"]["spectrum"] == {"topFraction": 0.4}


def test_dotted_options_override_keys_of_the_file(imported: Any) -> None:
    manifest, _ = imported(FRAMEWORK, "--model.base_model", "other/base", "--training.learning_rate=1e-4")
    assert manifest["spec"]["model"]["id"] == "other/base"
    assert manifest["spec"]["training"]["learningRate"] == 1e-4


def test_a_command_of_trl_whose_quotes_do_not_close_is_refused(tmp_path: Path) -> None:
    script = tmp_path / "train.sh"
    script.write_text("trl sft --model_name_or_path 'org/base")
    with pytest.raises(CommandError, match="No closing quotation"):
        import_job(str(script), [], "trl", "job")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["missing.sh"], "'missing.sh' is neither a file nor one of sft, dpo"),
        (["trl", "rloo"], "'rloo' is neither a file nor one of sft, dpo"),
        (["trl"], "there is nothing in it"),
    ],
)
def test_what_is_no_command_of_trl_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        import_job(words[0], words[1:], "trl", "job")


def test_an_option_that_trl_does_not_have_for_a_command_is_answered_for() -> None:
    _, reading = import_job("sft", ["--command", "[a]"], "trl", "job")
    assert "command: ['a'] → not mapped" in str(reading.lines[0])


def test_options_of_the_command_may_stand_behind_the_file_too(tmp_path: Path) -> None:
    config, manifest = tmp_path / "config.yaml", tmp_path / "job.yaml"
    config.write_text(FRAMEWORK)
    words = ["import", str(config), "--training.epochs", "7", "-o", str(manifest), "--name", "mine"]
    assert main(words) == 0
    job = yaml.safe_load(manifest.read_text())
    assert (job["metadata"]["name"], job["spec"]["training"]["epochs"]) == ("mine", 7)


@pytest.mark.parametrize(
    "options", [["model.base_model", "x"], ["--training.epochs"], ["--dataset.format.x", "1"]]
)
def test_a_bad_option_is_wrong_use(imported: Any, options: list[str]) -> None:
    with pytest.raises(CommandError):
        imported(FRAMEWORK, *options)


@pytest.mark.parametrize("text", ["a: 1", "[1]", "fine_tuner: 3", "\t"])
def test_what_is_no_configuration_is_refused(imported: Any, text: str) -> None:
    with pytest.raises(CommandError):
        imported(text)


@pytest.mark.parametrize("value", ["x", 1.5, [], {"a": 1}, True, -1, "1e5"])
@pytest.mark.parametrize("name", TABLES)
def test_no_value_of_any_key_leads_to_a_traceback(name: str, value: Any) -> None:
    document = {key.replace("[]", "[0]"): value for key in TABLES[name]}
    assert len(read(document, TABLES[name]).lines) >= len(document)


@pytest.mark.parametrize("name", TABLES)
def test_every_path_and_choice_of_a_table_is_one_of_the_api(name: str) -> None:
    fields = all_fields()
    for key, rule in TABLES[name].items():
        if isinstance(rule, To | Choice):
            assert rule.path in fields, key
        if isinstance(rule, Choice) and "enum" in fields[rule.path].schema:
            assert set(rule.names.values()) <= set(fields[rule.path].schema["enum"]), key


class TestTrl:
    def test_a_command_line_is_read(self) -> None:
        words = "sft --model_name_or_path org/base --use_peft --lora-r=8 --lora_target_modules q_proj v_proj"
        manifest, reading = import_job("trl", [*words.split(), "--bf16", "true"], "trl", "job")
        written = {path for line in reading.lines if not line.note.startswith(SILENT) for path in line.paths}
        assert {path: value for path, value in flatten(manifest["spec"]) if path in written} == {
            "training.stage": "sft",
            "training.precision": "bf16",
            "model.id": "org/base",
            "method.type": "lora",
            "method.lora.rank": 8,
            "method.lora.targetModules": ["q_proj", "v_proj"],
        }
        assert [line.key for line in reading.lines if not line.note.startswith(SILENT)] == [
            "command",
            "model_name_or_path",
            "use_peft",
            "lora_r",
            "lora_target_modules",
            "bf16",
        ]

    def test_without_adapters_every_weight_is_trained(self) -> None:
        manifest, _ = import_job("sft", ["--model_name_or_path", "org/base"], "trl", "job")
        assert manifest["spec"]["method"] == {"type": "full"}

    def test_a_command_in_a_file_is_read(self, tmp_path: Path) -> None:
        file = tmp_path / "train.sh"
        file.write_text("trl dpo \\\n  --dataset_name org/data --learning_rate 5e-6\n")
        spec = import_job(str(file), [], "trl", "job")[0]["spec"]
        assert (spec["training"]["stage"], spec["training"]["learningRate"]) == ("dpo", 5e-6)


@pytest.mark.parametrize(
    ("key", "section"), [("saves_per_epoch", "checkpoints"), ("evals_per_epoch", "evaluation")]
)
def test_once_in_an_epoch_is_at_its_end_and_more_often_is_not_known(
    imported: Any, key: str, section: str
) -> None:
    manifest, _ = imported(f"base_model: org/base\n{key}: 1\n")
    assert manifest["spec"][section] == {"atEpochEnd": True, "everySteps": 0}
    manifest, reading = imported(f"base_model: org/base\n{key}: 2\n")
    assert section not in manifest["spec"]
    assert not next(line for line in reading.lines if line.key == key).mapped


def test_a_tokenizers_tokens_are_shown_and_secrets_are_not() -> None:
    shown = {line.key: line.shown for line in read({"pad_token": "<pad>", "hub_token": "hf_x"}, {}).lines}
    assert shown == {"pad_token": "<pad>", "hub_token": "(not shown)"}
