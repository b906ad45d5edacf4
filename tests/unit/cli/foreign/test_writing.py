"""Jobs become configurations of other programs; what they hold comes back, and what is lost is said."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from finetune_api import ResolvedJob
from finetune_api.model import ChatTemplateName
from finetune_cli.effective import read_job, values
from finetune_cli.foreign.dataset_info import FILE
from finetune_cli.foreign.importing import import_job
from finetune_cli.foreign.reading import flatten
from finetune_cli.foreign.registering import as_text
from finetune_cli.foreign.writing import Writing, write
from finetune_cli.main import main

JOB = """
apiVersion: finetune.dev/v1alpha1
kind: FineTuneJob
metadata: {name: job}
spec:
  model: {id: org/base, attention: flash_attention_2}
  method: {type: qlora, lora: {rank: 8, alpha: 16, dropout: 0.1, targetModules: [q_proj, v_proj]}}
  quantization: {type: nf4}
  dataset: {format: alpaca, train: {hub: {id: org/data}}, evalSplit: 0.1, packing: true}
  training:
    maxSteps: 50
    microBatchSize: 2
    learningRate: 1.0e-4
    optimizer: pagedAdamw8bit
    schedule: {type: linear, warmupSteps: 5}
    precision: bf16
    maxSequenceLength: 1024
    gradientCheckpointing: full
  resources: {accelerators: {perNode: 1}}
  failurePolicy: {maxRetries: 7}
"""
TARGETS = ("llamafactory", "axolotl")


@pytest.fixture
def job(tmp_path: Path) -> str:
    file = tmp_path / "job.yaml"
    file.write_text(JOB)
    return str(file)


def written(job: str, target: str, *overrides: str) -> Writing:
    prepared, parsed = read_job(job, None, overrides)
    return write(values(parsed), set(prepared.origins), target, directory=Path(job).parent)


def exported(writing: Writing, directory: Path) -> str:
    """The configuration as a file, with its dataset_info.json beside it where it has one."""
    (directory / FILE).write_text(as_text(writing.data_sets))
    file = directory / "exported.yaml"
    file.write_text(yaml.safe_dump(writing.document))
    return str(file)


def read_back(writing: Writing, tmp_path: Path, target: str) -> dict[str, Any]:
    return dict(flatten(import_job(exported(writing, tmp_path), [], target, "job")[0]["spec"]))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("quantization.type=none", "method.type=lora", "method.lora.targetModules=[all-linear]"),
        ("quantization.type=none", "method.type=full"),
        ("quantization.type=none", "method.type=dora"),
        ("training.stage=dpo", "dataset.format=alpaca"),
        ("training.precision=fp16", "training.optimizer=adamw", "training.schedule.type=cosine"),
    ],
    ids=lambda overrides: ",".join(overrides) or "as it is",
)
def test_what_is_written_and_not_lost_comes_back_the_same(
    job: str, tmp_path: Path, target: str, overrides: tuple[str, ...]
) -> None:
    prepared, parsed = read_job(job, None, overrides)
    chosen = values(parsed)
    writing = write(chosen, set(prepared.origins), target, directory=tmp_path)
    back = read_back(writing, tmp_path, target)
    lost = {entry.path for entry in writing.lost}
    method = chosen["method.type"]
    kept = {
        path: chosen[path]
        for path in prepared.origins
        if path not in lost and not (method == "full" and path.startswith("method.lora."))
    }
    kept.pop("quantization.type") if kept.get("quantization.type") == "none" else None
    kept.pop("method.type") if method == "full" else None
    kept.pop("training.stage", None)
    assert {path: back.get(path) for path in kept} == kept


@pytest.mark.parametrize("target", TARGETS)
def test_reading_what_was_written_leaves_no_key_unmapped(job: str, tmp_path: Path, target: str) -> None:
    _, reading = import_job(exported(written(job, target), tmp_path), [], target, "job")
    assert [str(line) for line in reading.lines if not line.mapped] == []


@pytest.mark.parametrize("target", TARGETS)
def test_everything_that_was_chosen_is_written_or_lost_with_a_reason(job: str, target: str) -> None:
    writing = written(job, target)
    lost = {entry.path: entry.reason for entry in writing.lost}
    assert lost["failurePolicy.maxRetries"] == "it starts no attempts of its own"
    assert lost["resources.accelerators.perNode"] == "where it runs is not its business"
    assert all(lost.values())


def test_llama_factory_gets_its_own_keys(job: str) -> None:
    found = written(job, "llamafactory").document
    expected = {
        "model_name_or_path": "org/base",
        "stage": "sft",
        "finetuning_type": "lora",
        "lora_rank": 8,
        "lora_target": "q_proj,v_proj",
        "quantization_bit": 4,
        "cutoff_len": 1024,
        "max_steps": 50,
        "bf16": True,
        "flash_attn": "fa2",
        "optim": "paged_adamw_8bit",
        "val_size": 0.1,
    }
    assert {key: found.get(key) for key in expected} == expected


def test_axolotl_gets_its_own_keys(job: str) -> None:
    found = written(job, "axolotl").document
    expected = {
        "base_model": "org/base",
        "adapter": "qlora",
        "load_in_4bit": True,
        "lora_r": 8,
        "sequence_len": 1024,
        "sample_packing": True,
        "datasets": [{"path": "org/data", "split": "train", "type": "alpaca"}],
        "val_set_size": 0.1,
    }
    assert {key: found.get(key) for key in expected} == expected


def test_a_method_that_the_other_does_not_have_is_lost(job: str) -> None:
    writing = written(job, "axolotl", "method.type=spectrum", "quantization.type=none")
    assert "method.type" in {entry.path for entry in writing.lost}


def test_the_trainer_s_configuration_holds_the_whole_job(
    job: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", job, "--to", "trainer"]) == 0
    resolved = ResolvedJob.from_json_object(json.loads(capsys.readouterr().out))
    assert resolved.spec == read_job(job, None, ())[1].spec


def test_import_and_export_are_verbs(job: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", job, "--to", "axolotl"]) == 0
    printed = capsys.readouterr()
    assert "lost: failurePolicy.maxRetries: 7 (it starts no attempts of its own)" in printed.err
    config, manifest = tmp_path / "axolotl.yaml", tmp_path / "again.yaml"
    config.write_text(printed.out)
    assert main(["import", "-o", str(manifest), str(config), "--micro_batch_size", "4"]) == 0
    assert "base_model: org/base → model.id" in capsys.readouterr().err
    assert yaml.safe_load(manifest.read_text())["spec"]["training"]["microBatchSize"] == 4
    assert main(["import", "-o", str(manifest), str(config)]) == 2


def test_axolotl_reads_sharegpt_as_a_chat_template_over_its_keys(job: str, tmp_path: Path) -> None:
    writing = written(job, "axolotl", "dataset.format=sharegpt")
    [data] = writing.document["datasets"]
    assert data["type"] == "chat_template"
    back = read_back(writing, tmp_path, "axolotl")
    columns = {path: value for path, value in back.items() if path.startswith("dataset.columns.")}
    assert columns == {
        "dataset.columns.messages": "conversations",
        "dataset.columns.role": "from",
        "dataset.columns.content": "value",
    }


@pytest.mark.parametrize(
    ("overrides", "key", "value"),
    [
        (("training.optimizer=galoreAdamw",), "use_galore", True),
        (("training.optimizer=apolloAdamw",), "use_apollo", True),
        (("model.tokenizer.chatTemplateName=chatml",), "template", "chatml"),
        (("model.tokenizer.chatTemplateName=llama3",), "template", "llama3"),
        (("model.tokenizer.chatTemplateName=phi3",), "template", "phi"),
        (("training.stage=kto", "training.kto.beta=0.3"), "pref_beta", 0.3),
        (("method.type=freeze", "method.freeze.fromLayer=first"), "freeze_trainable_layers", -2),
    ],
    ids=lambda value: str(value),
)
def test_llama_factory_s_own_way_of_saying_it_comes_back(
    job: str, tmp_path: Path, overrides: tuple[str, ...], key: str, value: Any
) -> None:
    plain = ("quantization.type=none",)
    writing = written(job, "llamafactory", *plain, *overrides)
    assert writing.document[key] == value
    path, _, text = overrides[-1].partition("=")
    assert str(read_back(writing, tmp_path, "llamafactory")[path]) == text


@pytest.mark.parametrize("name", set(get_args(ChatTemplateName)) - {"plain"})
def test_llama_factory_has_a_name_for_every_template_with_words_of_its_own(job: str, name: str) -> None:
    assert "template" in written(job, "llamafactory", f"model.tokenizer.chatTemplateName={name}").document


@pytest.mark.parametrize(
    ("name", "theirs", "system"),
    [("qwen", "qwen3_nothink", None), ("zephyr", "zephyr", ""), ("vicuna", "vicuna", None)],
)
def test_a_system_prompt_that_only_llama_factory_s_template_adds_is_left_out_there(
    job: str, tmp_path: Path, name: str, theirs: str, system: str | None
) -> None:
    template = f"model.tokenizer.chatTemplateName={name}"
    writing = written(job, "llamafactory", template)
    assert writing.document["template"] == theirs
    assert writing.document.get("default_system") == system
    back = read_back(writing, tmp_path, "llamafactory")
    assert back["model.tokenizer.chatTemplateName"] == name
    assert "dataset.preprocessing.systemPrompt" not in back


def test_a_job_s_own_system_prompt_stands_in_for_the_template_s(job: str, tmp_path: Path) -> None:
    prompt = "dataset.preprocessing.systemPrompt"
    overrides = ("model.tokenizer.chatTemplateName=zephyr", f"{prompt}=Be brief.")
    writing = written(job, "llamafactory", *overrides)
    assert writing.document["default_system"] == "Be brief."
    assert prompt not in {entry.path for entry in writing.lost}
    assert read_back(writing, tmp_path, "llamafactory")[prompt] == "Be brief."


def test_axolotl_s_template_comes_back_and_one_that_it_does_not_have_is_lost(
    job: str, tmp_path: Path
) -> None:
    path = "model.tokenizer.chatTemplateName"
    assert read_back(written(job, "axolotl", f"{path}=phi3"), tmp_path, "axolotl")[path] == "phi3"
    assert path in {entry.path for entry in written(job, "axolotl", f"{path}=vicuna").lost}


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("llamafactory", ("learning_rate",)),
        ("axolotl", ("learning_rate",)),
        ("trainer", ("spec", "training", "learningRate")),
    ],
)
def test_a_field_can_be_set_for_an_export(
    job: str, capsys: pytest.CaptureFixture[str], target: str, path: tuple[str, ...]
) -> None:
    assert main(["export", job, "--to", target, "--set", "training.learningRate=3e-5"]) == 0
    value = yaml.safe_load(capsys.readouterr().out)
    for part in path:
        value = value[part]
    assert float(value) == 3e-5


@pytest.mark.parametrize("target", [*TARGETS, "trainer"])
def test_what_is_set_has_its_type_checked(job: str, capsys: pytest.CaptureFixture[str], target: str) -> None:
    assert main(["export", job, "--to", target, "--set", "training.learningRate=fast"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "WrongType: training.learningRate: fast must be a number" in said.err
