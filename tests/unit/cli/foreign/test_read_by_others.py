"""What is exported is in words that LLaMA-Factory and Axolotl know, and combined as their parsers want it.

Each case was read by the programs' own parsers once (docs/log.md says which versions); what they refused, or
took for something else, is held here without them.
"""

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from finetune_api.method import MethodSpec
from finetune_cli.effective import read_job, values
from finetune_cli.foreign.writing import Writing, write
from foreign_names import unknown_keys
from manifests import changed

ROOT = Path(__file__).parents[4]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
PRESETS = sorted((ROOT / "crds/finetune_api/presets/builtin").glob("*.yaml"))
TARGETS = ("llamafactory", "axolotl")
FORMATS = {
    "pretrain": "text",
    "sft": "messages",
    "rm": "preference",
    "dpo": "preference",
    "kto": "promptCompletion",
    "ppo": "promptCompletion",
    "grpo": "promptCompletion",
}
METHODS = get_args(MethodSpec.model_fields["type"].annotation)
HELD_OUT = "dataset.evalSplit=0.1"


def written(file: Path, target: str, *overrides: str) -> Writing:
    prepared, job = read_job(str(file), None, overrides)
    found = values(job)
    chosen = {path for path in found if prepared.origin(path) != "default"}
    return write(found, chosen, target, "job", file.parent)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return job_in(tmp_path)


def job_in(directory: Path, **sections: Any) -> Path:
    data = {"train": {"hub": {"id": "org/data"}}}
    basics = {"metadata.name": "job", "dataset": data, "resources.accelerators.perNode": 1}
    file = directory / "job.yaml"
    file.write_text(yaml.safe_dump(changed(basics | sections)))
    return file


def reasons(writing: Writing) -> dict[str, str]:
    return {lost.path: lost.reason for lost in writing.lost}


@pytest.mark.parametrize("target", TARGETS)
class TestEveryKeyIsKnownThere:
    @pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
    def test_of_an_example(self, file: Path, target: str) -> None:
        assert unknown_keys(written(file, target).document, target) == []

    @pytest.mark.parametrize("preset", PRESETS, ids=lambda file: file.stem)
    def test_of_a_preset(self, tmp_path: Path, preset: Path, target: str) -> None:
        file = job_in(tmp_path, preset=preset.stem)
        assert unknown_keys(written(file, target).document, target) == []

    @pytest.mark.parametrize("stage", FORMATS)
    @pytest.mark.parametrize("quantization", ["none", "nf4"])
    def test_of_a_stage_with_every_method(
        self, base: Path, stage: str, quantization: str, target: str
    ) -> None:
        chosen = (
            f"training.stage={stage}",
            f"dataset.format={FORMATS[stage]}",
            f"quantization.type={quantization}",
            HELD_OUT,
            "training.ppo.rewardModelId=org/reward",
        )
        for method in METHODS:
            document = written(base, target, *chosen, f"method.type={method}").document
            assert unknown_keys(document, target) == []


def test_a_key_that_is_not_known_there_would_be_seen() -> None:
    document = {"base_model": "o/b", "data_seed": 1, "datasets": [{"pth": "o/d"}], "trl": {"groups": 1}}
    assert unknown_keys(document, "axolotl") == ["data_seed", "datasets[].pth", "trl.groups"]


class TestWhenItEvaluatesAndSaves:
    @pytest.mark.parametrize("target", TARGETS)
    @pytest.mark.parametrize(
        ("overrides", "expected"),
        [
            ((), {"eval_strategy": "steps", "eval_steps": 100, "save_strategy": "steps", "save_steps": 500}),
            (
                ("evaluation.everySteps=0", "evaluation.atEpochEnd=true", "checkpoints.everySteps=0"),
                {"eval_strategy": "epoch", "save_strategy": "no", "eval_steps": None, "save_steps": None},
            ),
            (
                ("output.checkpoint=best", "evaluation.everySteps=50"),
                {"load_best_model_at_end": True, "metric_for_best_model": "loss", "greater_is_better": False},
            ),
        ],
    )
    def test_is_said_by_strategies(
        self, base: Path, target: str, overrides: tuple[str, ...], expected: dict[str, Any]
    ) -> None:
        found = written(base, target, HELD_OUT, *overrides).document
        assert {key: found.get(key) for key in expected} == expected

    @pytest.mark.parametrize("target", TARGETS)
    def test_best_of_what_is_not_saved_where_it_is_measured_is_lost(self, base: Path, target: str) -> None:
        writing = written(base, target, HELD_OUT, "output.checkpoint=best", "evaluation.everySteps=300")
        assert "load_best_model_at_end" not in writing.document
        assert "a multiple of evaluation.everySteps" in reasons(writing)["output.checkpoint"]

    @pytest.mark.parametrize("target", TARGETS)
    def test_is_nothing_without_data_for_it(self, base: Path, target: str) -> None:
        assert not {"eval_strategy", "eval_steps"} & written(base, target).document.keys()


class TestSchedules:
    @pytest.mark.parametrize(
        ("target", "key"), [("llamafactory", "lr_scheduler_type"), ("axolotl", "lr_scheduler")]
    )
    @pytest.mark.parametrize(
        ("overrides", "name", "more"),
        [
            (("type=constant",), "constant_with_warmup", None),
            (("type=constant", "warmupRatio=0"), "constant", None),
            (("type=cosineWithRestarts", "cycles=3"), "cosine_with_restarts", {"num_cycles": 3}),
            (("type=polynomial", "power=2"), "polynomial", {"power": 2.0, "lr_end": 0.0}),
            (("type=warmupStableDecay", "stableRatio=0.5"), "warmup_stable_decay", {"num_decay_steps": 47}),
        ],
    )
    def test_are_said_with_what_they_take(
        self, base: Path, target: str, key: str, overrides: tuple[str, ...], name: str, more: Any
    ) -> None:
        chosen = [f"training.schedule.{override}" for override in overrides]
        found = written(base, target, "training.maxSteps=100", *chosen).document
        assert (found[key], found.get("lr_scheduler_kwargs")) == (name, more)

    @pytest.mark.parametrize("target", TARGETS)
    def test_whose_decay_has_no_steps_are_lost(self, base: Path, target: str) -> None:
        writing = written(base, target, "training.schedule.type=warmupStableDecay")
        assert "set training.maxSteps" in reasons(writing)["training.schedule.type"]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), {"do_train": True, "output_dir": "outputs/job", "report_to": "none", "bf16": True}),
        (("training.gradientCheckpointing=none",), {"disable_gradient_checkpointing": True}),
        (("training.sampling=groupByLength",), {"train_sampling_strategy": "group_by_length"}),
        (("training.sampling=sequential",), {"disable_shuffling": True, "train_sampling_strategy": None}),
        (("dataset.packing=true",), {"packing": True, "neat_packing": True}),
        (("training.stage=pretrain", "dataset.format=text"), {"packing": True, "neat_packing": None}),
        (("dataset.preprocessing.supervise=lastAnswer",), {"mask_history": True}),
        (("model.kernels=liger",), {"enable_liger_kernel": True, "use_liger_kernel": None}),
        (("training.schedule.minLearningRateRatio=0.1",), {"lr_scheduler_type": "cosine_with_min_lr"}),
        (
            ("method.type=full", "training.precision=bf16", "model.loadPrecision=bf16"),
            {"pure_bf16": True, "bf16": None},
        ),
        (
            (
                "training.stage=ppo",
                "training.ppo.rewardModelId=o/r",
                "training.ppo.updatesPerBatch=2",
                HELD_OUT,
            ),
            {"reward_model": "o/r", "reward_model_type": "full", "ppo_epochs": 2, "val_size": None},
        ),
        (
            ("tracking.trackers=[{type: comet}]", "tracking.project=p"),
            {"report_to": ["comet_ml"], "project": None},
        ),
        (
            ("output.hub.id=o/r", "output.hub.tokenSecret.name=s", "output.hub.tokenSecret.key=k"),
            {"push_to_hub": True, "hub_model_id": "o/r"},
        ),
    ],
    ids=str,
)
def test_llama_factory_s_keys_hang_together(
    base: Path, overrides: tuple[str, ...], expected: dict[str, Any]
) -> None:
    found = written(base, "llamafactory", *overrides).document
    assert {key: found.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    "more", [("quantization.type=nf4",), ("training.stage=dpo", "dataset.format=preference")]
)
def test_llama_factory_starts_no_pissa_where_its_parser_refuses_it(base: Path, more: tuple[str, ...]) -> None:
    writing = written(base, "llamafactory", "method.type=pissa", *more)
    assert "pissa_init" not in writing.document
    assert "it starts no adapters as PiSSA" in reasons(writing)["method.type"]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), {"bf16": "auto", "gradient_checkpointing": True, "excess_length_strategy": "truncate"}),
        (("training.precision=fp16",), {"bf16": False, "fp16": True}),
        (("training.precision=fp32",), {"bf16": False, "tf32": False}),
        (("quantization.type=fp4", "method.type=qlora"), {"adapter": "qlora", "load_in_4bit": True}),
        (("method.type=pissa",), {"adapter": "lora", "peft_init_lora_weights": "pissa_niter_16"}),
        (
            ("method.lora.targetPattern=.*q_proj",),
            {"lora_target_modules": ".*q_proj", "lora_target_linear": None},
        ),
        (("method.lora.modulesToSave=[lm_head]",), {"lora_modules_to_save": ["lm_head"]}),
        (("dataset.packing=true",), {"sample_packing": True, "attn_implementation": "flash_attention_2"}),
        (("training.sampling=sequential",), {"curriculum_sampling": True}),
        (
            ("training.stage=kto", "dataset.format=promptCompletion"),
            {"rl": "kto", "remove_unused_columns": False},
        ),
        (("training.stage=dpo", "training.dpo.lossType=hinge"), {"rl": "dpo", "dpo_loss_type": ["hinge"]}),
        (
            ("tracking.trackers=[{type: wandb}]", "tracking.project=p"),
            {"use_wandb": True, "wandb_project": "p"},
        ),
        (("training.optimizer=galoreAdamw", "method.type=full"), {"optim_target_modules": "all_linear"}),
    ],
    ids=str,
)
def test_axolotl_s_keys_hang_together(
    base: Path, overrides: tuple[str, ...], expected: dict[str, Any]
) -> None:
    found = written(base, "axolotl", *overrides).document
    assert {key: found.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("stage", "form", "expected"),
    [
        (
            "dpo",
            "preference",
            {
                "type": "chat_template.default",
                "field_messages": "prompt",
                "field_chosen": "chosen",
                "field_rejected": "rejected",
            },
        ),
        (
            "kto",
            "promptCompletion",
            {"type": {"field_prompt": "prompt", "field_completion": "completion", "field_label": "label"}},
        ),
        ("pretrain", "text", {"type": "completion"}),
        (
            "sft",
            "promptCompletion",
            {
                "type": {
                    "field_instruction": "prompt",
                    "field_output": "completion",
                    "format": "{instruction}",
                    "no_input_format": "{instruction}",
                }
            },
        ),
        ("grpo", "promptCompletion", {}),
    ],
)
def test_axolotl_s_data_has_the_form_of_its_stage(
    base: Path, stage: str, form: str, expected: dict[str, Any]
) -> None:
    writing = written(base, "axolotl", f"training.stage={stage}", f"dataset.format={form}")
    assert writing.document["datasets"] == [{"path": "org/data", "split": "train", **expected}]


def test_axolotl_s_evaluation_data_is_a_list_of_its_own(tmp_path: Path) -> None:
    data = {"train": {"hub": {"id": "org/data"}}, "eval": {"hub": {"id": "org/held-out", "split": "test"}}}
    document = written(job_in(tmp_path, dataset=data), "axolotl").document
    assert document["test_datasets"] == [{"path": "org/held-out", "split": "test", "type": "alpaca"}]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("overrides", "path", "reason"),
    [
        (("quantization.type=int4",), "quantization.type", "the base is not quantized"),
        (("method.type=spectrum",), "method.type", "as the file is, it would"),
    ],
)
def test_what_the_other_would_do_instead_is_said(
    base: Path, target: str, overrides: tuple[str, ...], path: str, reason: str
) -> None:
    assert reason in reasons(written(base, target, *overrides))[path]
