"""The tables against the projects themselves: every option that they have is answered for.

TRL and transformers are read as they are installed; of LLaMA-Factory and Axolotl the names were taken from
their own classes, with the version that they were read at.
"""

import ast
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_cli.foreign import axolotl, llamafactory, trl
from finetune_cli.foreign.importing import import_job
from finetune_cli.foreign.reading import Reading, flatten
from finetune_cli.foreign.rules import Left, Table
from foreign_names import names_of

TRL_OPTIONS = (
    ("trl", "trainer/sft_config.py", "SFTConfig"),
    ("trl", "trainer/dpo_config.py", "DPOConfig"),
    ("trl", "trainer/kto_config.py", "KTOConfig"),
    ("trl", "trainer/reward_config.py", "RewardConfig"),
    ("trl", "trainer/grpo_config.py", "GRPOConfig"),
    ("trl", "trainer/base_config.py", "_BaseConfig"),
    ("trl", "trainer/model_config.py", "ModelConfig"),
    ("trl", "scripts/utils.py", "ScriptArguments"),
    ("transformers", "training_args.py", "TrainingArguments"),
)


def options_of(package: str, file: str, name: str) -> dict[str, Any]:
    """The options of a dataclass with their defaults, from its source: importing it would import torch."""
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    tree = ast.parse((Path(found.origin).parent / file).read_text(encoding="utf-8"))
    [owner] = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == name]
    options: dict[str, Any] = {}
    for node in owner.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            default = [
                keyword.value for keyword in getattr(node.value, "keywords", []) if keyword.arg == "default"
            ]
            constant = default and isinstance(default[0], ast.Constant)
            options[node.target.id] = default[0].value if constant else None
    return {option: default for option, default in options.items() if not option.startswith("_")}


@pytest.mark.parametrize(("package", "file", "name"), TRL_OPTIONS, ids=lambda value: value)
def test_trl_has_no_option_that_is_not_known(package: str, file: str, name: str) -> None:
    options = options_of(package, file, name)
    assert options
    assert sorted(set(options) - set(trl.TABLE)) == []


@pytest.mark.parametrize(("command", "rate"), trl.LEARNING_RATES.items())
def test_trl_s_defaults_are_those_of_the_installed_package(command: str, rate: float) -> None:
    stage = next(row for row in TRL_OPTIONS if row[1] == f"trainer/{command}_config.py")
    assert options_of(*stage)["learning_rate"] == rate


def test_transformers_defaults_are_those_of_the_installed_package() -> None:
    options = options_of(*TRL_OPTIONS[-1])
    checked = {
        key: value
        for key, value in llamafactory.arguments.DEFAULTS.items()
        if key not in ("learning_rate", "per_device_train_batch_size", "warmup_ratio")
    }
    assert {key: options[key] for key in checked} == checked


def answered(name: str, table: Table) -> bool:
    """Whether there is a rule for the key, or a reason for the section that it stands in."""
    if name in table:
        return True
    section = name.rpartition(".")[0]
    return bool(section) and (isinstance(table.get(section), Left) or answered(section, table))


@pytest.mark.parametrize(
    ("project", "table"), [("llamafactory", llamafactory.TABLE), ("axolotl", axolotl.TABLE)]
)
def test_the_other_projects_have_no_key_that_is_not_known(project: str, table: Table) -> None:
    names = names_of(project)
    assert len(names) > 300
    assert sorted(name for name in names if not answered(name, table)) == []


@pytest.fixture
def imported(tmp_path: Path) -> Any:
    def read(document: dict[str, Any], kind: str) -> tuple[dict[str, Any], Reading]:
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(document, sort_keys=False))
        manifest, reading = import_job(str(file), [], kind, "job")
        return dict(flatten(manifest["spec"])), reading

    return read


class TestWhatIsNotSaid:
    def test_means_what_the_program_does_then_and_is_told(self, imported: Any) -> None:
        document = {"model_name_or_path": "org/base", "stage": "sft", "lora_rank": 4}
        spec, reading = imported(document, "llamafactory")
        assert spec["method.lora.alpha"] == 8, "LLaMA-Factory takes twice the rank"
        assert (spec["training.learningRate"], spec["training.microBatchSize"]) == (5e-5, 8)
        told = {line.key: line.note for line in reading.lines}
        assert told["lora_alpha"] == told["learning_rate"] == "not in the file: its default there"

    def test_gives_way_to_a_key_that_says_it_in_another_way(self, imported: Any) -> None:
        document = {"model_name_or_path": "org/base", "stage": "sft", "warmup_steps": 9, "max_steps": 5}
        spec, _ = imported(document, "llamafactory")
        assert spec["training.schedule.warmupSteps"] == 9
        assert "training.schedule.warmupRatio" not in spec

    def test_of_axolotl_s_adapter_means_that_every_weight_is_trained(self, imported: Any) -> None:
        spec, _ = imported({"base_model": "org/base"}, "axolotl")
        assert spec["method.type"] == "full"
        assert imported({"base_model": "org/base", "adapter": "lora"}, "axolotl")[0]["method.type"] == "lora"


@pytest.mark.parametrize(
    ("document", "precision"),
    [
        ({"bf16": False}, "fp32"),
        ({"bf16": False, "fp16": True}, "fp16"),
        ({"fp16": True, "bf16": False}, "fp16"),
        ({"tf32": True, "bf16": False}, "tf32"),
        ({"bf16": True, "tf32": True}, "bf16"),
        ({"fp16": False}, None),
    ],
    ids=str,
)
@pytest.mark.parametrize("program", ["axolotl", "llamafactory"])
def test_without_16_bit_it_is_fp32(
    imported: Any, document: dict[str, Any], precision: str | None, program: str
) -> None:
    model = {"axolotl": "base_model", "llamafactory": "model_name_or_path"}[program]
    spec, _ = imported({model: "org/base", **document}, program)
    assert spec.get("training.precision") == precision


@pytest.mark.parametrize(("stage", "path"), [("dpo", "training.dpo.beta"), ("kto", "training.kto.beta")])
def test_beta_belongs_to_its_stage(imported: Any, stage: str, path: str) -> None:
    document = {"model_name_or_path": "org/base", "stage": stage, "pref_beta": 0.3}
    spec, reading = imported(document, "llamafactory")
    assert spec[path] == 0.3
    assert next(line for line in reading.lines if line.key == "pref_beta").paths == (path,)


@pytest.mark.parametrize(("layers", "end"), [(2, "last"), (-3, "first")])
def test_frozen_layers_are_counted_from_either_end(imported: Any, layers: int, end: str) -> None:
    document = {
        "model_name_or_path": "org/base",
        "finetuning_type": "freeze",
        "freeze_trainable_layers": layers,
    }
    spec, _ = imported(document, "llamafactory")
    assert (spec["method.freeze.trainableLayers"], spec["method.freeze.fromLayer"]) == (abs(layers), end)


@pytest.mark.parametrize(
    ("name", "ours", "note"),
    [
        ("llama3", "llama3", ""),
        ("phi", "phi3", ""),
        ("qwen", "qwen", "its own system prompt there is not added"),
        ("deepseek", None, "the model's own chat template is used"),
    ],
)
def test_a_template_of_llama_factory_s_is_ours_of_that_form(
    imported: Any, name: str, ours: str | None, note: str
) -> None:
    spec, reading = imported({"model_name_or_path": "o/b", "stage": "sft", "template": name}, "llamafactory")
    assert spec.get("model.tokenizer.chatTemplateName") == ours
    assert next(line for line in reading.lines if line.key == "template").note.startswith(note)


class TestOfAxolotl:
    """Seen in the configurations that Axolotl ships."""

    def read(self, imported: Any, **document: Any) -> tuple[dict[str, Any], dict[str, str]]:
        spec, reading = imported({"base_model": "org/base", **document}, "axolotl")
        return spec, {line.key: line.note for line in reading.lines if not line.mapped}

    def test_a_machine_with_gpus_is_asked_for(self, imported: Any) -> None:
        assert self.read(imported)[0]["resources.accelerators.perNode"] == 1

    def test_tf32_beside_bf16_is_not_the_arithmetic(self, imported: Any) -> None:
        spec, unmapped = self.read(imported, bf16="auto", tf32=True)
        assert spec["training.precision"] == "auto"
        assert unmapped["tf32"] == "training.precision is what bf16 says"

    def test_records_that_are_too_long_are_dropped_where_nothing_is_said(self, imported: Any) -> None:
        assert self.read(imported)[0]["dataset.preprocessing.overlong"] == "drop"

    def test_a_key_of_a_section_has_the_section_s_reason(self, imported: Any) -> None:
        _, unmapped = self.read(
            imported, fsdp_config={"offload_params": False}, special_tokens={"pad_token": "x"}
        )
        assert unmapped["fsdp_config.offload_params"].startswith("the ranks share by ZeRO")
        assert unmapped["special_tokens.pad_token"] == "the tokenizer's own are used"
        _, unmapped = self.read(imported, test_datasets=[{"path": "org/held-out", "type": "alpaca"}])
        assert unmapped["test_datasets[0].type"] == "evaluation data has the form of the training data"

    def test_completions_are_plain_text_of_stage_pretrain(self, imported: Any) -> None:
        spec, _ = self.read(imported, datasets=[{"path": "org/text", "type": "completion", "field": "body"}])
        assert (spec["training.stage"], spec["dataset.columns.text"]) == ("pretrain", "body")

    def test_files_within_a_data_set_of_the_hub_are_not_mapped(self, imported: Any) -> None:
        spec, unmapped = self.read(imported, datasets=[{"path": "org/data", "data_files": ["a/part.json"]}])
        assert spec["dataset.train.hub.id"] == "org/data"
        assert "dataset.train.path" not in spec
        assert "datasets[0].data_files" in unmapped

    def test_files_that_are_named_with_their_kind_are_the_data(self, imported: Any) -> None:
        spec, _ = self.read(imported, datasets=[{"path": "json", "data_files": "/data/part.json"}])
        assert spec["dataset.train.path"] == "/data/part.json"

    def test_settings_of_another_stage_are_left_out(self, imported: Any) -> None:
        spec, unmapped = self.read(imported, trl={"num_generations": 4})
        assert not [path for path in spec if path.startswith("training.grpo")]
        assert unmapped["trl.num_generations"] == "no setting of stage sft"

    def test_a_text_as_modules_is_a_pattern(self, imported: Any) -> None:
        spec, _ = self.read(imported, adapter="lora", lora_target_modules="model.*q_proj")
        assert spec["method.lora.targetPattern"] == "model.*q_proj"

    def test_its_own_model_config_is_no_configuration_of_another_program(self, tmp_path: Path) -> None:
        file = tmp_path / "config.yaml"
        file.write_text("base_model: org/base\nmodel_config: {output_router_logits: true}\n")
        assert import_job(str(file), [], None, "job")[0]["spec"]["model"]["id"] == "org/base"


def test_packed_plain_text_is_one_stream_as_it_is_here(imported: Any) -> None:
    spec, reading = imported({"model_name_or_path": "o/b", "stage": "pt", "packing": True}, "llamafactory")
    assert "dataset.packing" not in spec
    assert next(line for line in reading.lines if line.key == "packing").note.startswith(
        "plain text is one stream"
    )


class TestOfTrl:
    """Seen in what `TrlParser` makes of its commands."""

    def read(self, words: str) -> dict[str, Any]:
        manifest, _ = import_job("trl", [*words.split(), "--model_name_or_path", "o/b"], "trl", "job")
        return dict(flatten(manifest["spec"]))

    def test_a_flag_that_is_on_is_turned_off_by_no(self) -> None:
        assert self.read("sft --no_gradient_checkpointing")["training.gradientCheckpointing"] == "none"

    @pytest.mark.parametrize(("words", "precision"), [("sft", "bf16"), ("sft --fp16", "fp16")])
    def test_bf16_is_on_where_nothing_is_said(self, words: str, precision: str) -> None:
        assert self.read(words)["training.precision"] == precision

    @pytest.mark.parametrize("command", ["dpo", "reward"])
    def test_preferences_are_learned_from_pairs(self, command: str) -> None:
        assert self.read(command)["dataset.format"] == "preference"
