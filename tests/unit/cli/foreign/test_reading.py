"""Configurations of other programs become jobs, and every one of their keys is answered for."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api import check_manifest
from finetune_cli.errors import CommandError
from finetune_cli.foreign.importing import import_job
from finetune_cli.foreign.reading import Reading, flatten, read
from finetune_cli.main import main
from foreign_documents import AXOLOTL, DOCUMENTS, FRAMEWORK, FRAMEWORK_COMPLETE, LLAMAFARM, SILENT


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


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ("early_stopping: true", {"patience": 3}),
        ("early_stopping: true, early_stopping_patience: 5", {"patience": 5}),
        ("early_stopping: false, early_stopping_patience: 5", None),
    ],
)
def test_early_stopping_is_on_where_its_switch_is(imported: Any, training: str, expected: object) -> None:
    manifest, _ = imported(f"fine_tuner: {{type: pytorch, config: {{training: {{{training}}}}}}}")
    assert manifest["spec"].get("training", {}).get("earlyStopping") == expected


@pytest.mark.parametrize(
    ("evaluation", "interval"),
    [("{}", 40), ("{eval_strategy: steps}", 40), ("{eval_steps: 60}", 60), ("{eval_strategy: 'no'}", 0)],
)
def test_the_frameworks_interval_of_evaluations_is_read_wherever_it_stands(
    imported: Any, evaluation: str, interval: int
) -> None:
    manifest, _ = imported(
        f"fine_tuning: {{method: lora}}\noutput: {{eval_steps: 40}}\nevaluation: {evaluation}\n"
    )
    assert manifest["spec"]["evaluation"]["everySteps"] == interval


def test_no_mixed_precision_is_single_precision(imported: Any) -> None:
    manifest, _ = imported("model_config: {hidden_size: 8}\nmixed_precision: null\n")
    assert manifest["spec"]["training"]["precision"] == "fp32"


def test_metrics_that_are_asked_for_are_named(imported: Any) -> None:
    manifest, _ = imported("fine_tuner: {type: pytorch, config: {training: {compute_metrics: true}}}")
    assert manifest["spec"]["evaluation"]["metrics"] == ["perplexity", "tokenAccuracy"]
