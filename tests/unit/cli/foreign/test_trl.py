"""Commands of TRL's are read as TRL reads them."""

from pathlib import Path

import pytest

from finetune_cli.errors import CommandError
from finetune_cli.foreign.importing import import_job
from finetune_cli.foreign.reading import flatten
from foreign_documents import SILENT


def test_a_command_line_is_read() -> None:
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


def test_without_adapters_every_weight_is_trained() -> None:
    manifest, _ = import_job("sft", ["--model_name_or_path", "org/base"], "trl", "job")
    assert manifest["spec"]["method"] == {"type": "full"}


def test_a_command_in_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "train.sh"
    file.write_text("trl dpo \\\n  --dataset_name org/data --learning_rate 5e-6\n")
    spec = import_job(str(file), [], "trl", "job")[0]["spec"]
    assert (spec["training"]["stage"], spec["training"]["learningRate"]) == ("dpo", 5e-6)


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
