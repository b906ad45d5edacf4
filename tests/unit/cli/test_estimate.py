"""`finetune estimate`, `finetune hardware`, `finetune models`: stable output, exit status, messages."""

import json
from pathlib import Path

import pytest

from finetune_cli.main import main

MANIFEST = """\
apiVersion: finetune.dev/v1alpha1
kind: FineTuneJob
metadata:
  name: {name}
spec:
  model: {{id: {model}}}
  dataset:
    train: {{hub: {{id: org/data}}}}
"""


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    file = tmp_path / "job.yaml"
    file.write_text(MANIFEST.format(name="chat", model="meta-llama/Llama-3.1-8B"))
    return str(file)


def output_of(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = main(list(words))
    return status, capsys.readouterr().out


def test_json_has_exactly_the_documented_keys(manifest: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("estimate", manifest, "--accelerator", "h100", "--devices", "1", "-o", "json")
    status, out = output_of(capsys, *words)
    found = json.loads(out)
    assert status == 0
    assert list(found) == [
        "fits", "nearestFit", "memoryPerDeviceGiB", "durationSeconds", "tokensPerSecond", "steps", "costUSD",
        "energyKWh", "carbonGrams",
    ]  # fmt: skip
    assert list(found["memoryPerDeviceGiB"]) == ["expected", "low", "high", "parts"]
    assert list(found["memoryPerDeviceGiB"]["parts"]) == [
        "weights", "gradients", "optimizer", "activations", "logits", "buffers", "overhead",
    ]  # fmt: skip
    assert list(found["durationSeconds"]) == ["expected", "low", "high"]
    assert (found["fits"], found["nearestFit"]) == (True, None)


def test_a_preset_s_values_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "job.yaml"
    words = ("estimate", str(file), "--accelerator", "h100", "--devices", "1", "-o", "json")
    needed = {}
    for preset in ("full-multi-gpu", "qlora-16gb"):
        text = MANIFEST.format(name="chat", model="meta-llama/Llama-3.1-8B")
        file.write_text(text.replace("spec:\n", f"spec:\n  preset: {preset}\n"))
        needed[preset] = json.loads(output_of(capsys, *words)[1])["memoryPerDeviceGiB"]["expected"]
    assert needed["full-multi-gpu"] > 4 * needed["qlora-16gb"]


def test_a_job_that_does_not_fit_exits_with_1_and_names_the_nearest_change(
    manifest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("estimate", manifest, "--accelerator", "rtx4090", "--devices", "1", "-o", "json")
    none = (*words, "--set", "training.gradientCheckpointing=none")
    status, out = output_of(capsys, *none)
    found = json.loads(out)
    assert (status, found["fits"]) == (1, False)
    assert found["nearestFit"] == "training.gradientCheckpointing=full"
    assert output_of(capsys, *words, "--set", found["nearestFit"])[0] == 0


def test_what_auto_will_take_decides_whether_a_job_fits(
    manifest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("estimate", manifest, "--accelerator", "rtx4090", "--devices", "1", "-o", "json")
    found = json.loads(output_of(capsys, *words)[1])
    full = json.loads(output_of(capsys, *words, "--set", "training.gradientCheckpointing=full")[1])
    none = json.loads(output_of(capsys, *words, "--set", "training.gradientCheckpointing=none")[1])
    assert (found["fits"], found["nearestFit"]) == (True, None)
    assert found["memoryPerDeviceGiB"]["expected"] == none["memoryPerDeviceGiB"]["expected"]
    assert found["automatic"].pop("changes") == {"training.gradientCheckpointing": "full"}
    assert found["automatic"].items() <= full.items()
    page = output_of(capsys, *words[:-2])[1]
    assert page.startswith("chat on 1 × NVIDIA GeForce RTX 4090 24 GB: fits\n")
    assert "auto       training.gradientCheckpointing=full: without that, about" in page


def test_what_every_auto_becomes_is_shown_beside_its_estimate(
    manifest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    autos = ("training.microBatchSize", "distributed.zeroStage", "quantization.type")
    words = ("estimate", manifest, "--accelerator", "t4", "--devices", "1")
    words += tuple(word for path in autos for word in ("--set", f"{path}=auto"))
    found = json.loads(output_of(capsys, *words, "-o", "json")[1])["automatic"]
    assert found["changes"]["quantization.type"] == "nf4"
    chosen = tuple(
        word for path, value in found.pop("changes").items() for word in ("--set", f"{path}={value}")
    )
    assert found.items() <= json.loads(output_of(capsys, *words, *chosen, "-o", "json")[1]).items()
    assert "quantization.type=nf4, method.type=qlora: without that, about" in output_of(capsys, *words)[1]


def test_counted_data_gives_exact_steps(manifest: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("estimate", manifest, "--accelerator", "h100", "-o", "json", "--devices", "1")
    found = json.loads(output_of(capsys, *words, "--records", "1000", "--tokens", "500000")[1])
    assert found["steps"] == 189  # three epochs of ⌈1000 / 16⌉ = 63


def test_the_table_shows_a_bar_per_component_and_what_was_assumed(
    manifest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("estimate", manifest, "--accelerator", "l4", "--devices", "1", "--fit", "--explain")
    status, out = output_of(capsys, *words, "--set", "training.gradientCheckpointing=none")
    assert status == 1
    for text in ("weights", "█", "OF 22.5 GiB", "assumed    the data set has about 10,000 records"):
        assert text in out
    assert "would fit  training." in out
    assert "cheapest: " in out
    assert "fastest: " in out
    assert "vocabulary × 12 B" in out


def test_the_accelerator_of_the_manifest_is_used(manifest: str, capsys: pytest.CaptureFixture[str]) -> None:
    accelerators = "resources.accelerators"
    words = ("--set", f"{accelerators}.type=h100", "--set", f"{accelerators}.perNode=2")
    assert "2 × NVIDIA H100" in output_of(capsys, "estimate", manifest, *words)[1]


def test_an_administrators_price_is_used(
    manifest: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hardware = tmp_path / "hardware.yaml"
    hardware.write_text("accelerators:\n- {name: h100, usdPerHour: 29.9}\n")
    words = ("estimate", manifest, "--accelerator", "h100", "--devices", "1", "-o", "json")
    usual = json.loads(output_of(capsys, *words)[1])["costUSD"]
    own = json.loads(output_of(capsys, *words, "--hardware", str(hardware))[1])["costUSD"]
    assert own == pytest.approx(10 * usual, rel=1e-3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "names no accelerator"),
        (("--accelerator", "tpu"), "'tpu' is not in the catalog"),
        (("--accelerator", "h100", "--set", "model.id=nobody/nothing"), "model: the architecture of nobody"),
        (("--accelerator", "h100", "--set", "training.epochs=-1"), "training.epochs"),
        (("--accelerator", "h100", "--hardware", "none.yaml"), "none.yaml"),
    ],
)
def test_what_cannot_be_estimated_is_said_in_a_line(
    manifest: str, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert main(["estimate", manifest, *words]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert "Traceback" not in captured.err


def test_one_of_several_jobs_is_chosen_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(
        MANIFEST.format(name="one", model="gpt2") + "---\n" + MANIFEST.format(name="two", model="gpt2")
    )
    words = ("estimate", str(file), "--accelerator", "t4", "--devices", "1")
    assert main(list(words)) == 2
    assert "choose one with --job one|two" in capsys.readouterr().err
    assert output_of(capsys, *words, "--job", "two")[1].startswith("two on 1 × NVIDIA T4")


def test_the_hardware_catalog_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "h100-80gb" in output_of(capsys, "hardware")[1]
    entries = json.loads(output_of(capsys, "hardware", "-o", "json")[1])
    assert {"name", "memory_gib", "tflops", "price"} <= set(entries[0])


def test_the_models_are_listed_and_searched(capsys: pytest.CaptureFixture[str]) -> None:
    assert "TinyLlama/TinyLlama-1.1B-Chat-v1.0" in output_of(capsys, "models")[1]
    (entry,) = json.loads(output_of(capsys, "models", "gpt2-xl", "-o", "json")[1])
    assert (entry["parameters"], entry["target_modules"]) == (1_557_611_200, ["c_attn", "c_proj", "c_fc"])
    assert main(["models", "no-such-model"]) == 1


def test_an_administrators_list_lies_over_the_catalog(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("region: sweden\npue: 1.1\naccelerators:\n- {name: h100, usdPerHour: 29.9}\n")
    page = output_of(capsys, "hardware", "--hardware-file", str(own))[1]
    assert "29.90" in page
    assert "grid sweden: 40 g CO2 per kWh" in page
    assert "PUE 1.1" in page
    own.write_text("pue: 0.2\n")
    assert main(["hardware", "--hardware-file", str(own)]) == 1
    assert "hardware.pue: 0.2:" in capsys.readouterr().err


def test_what_would_fit_is_in_the_json_too(manifest: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("estimate", manifest, "--accelerator", "l4", "--devices", "1", "-o", "json")
    assert "fit" not in json.loads(output_of(capsys, *words)[1])
    fit = json.loads(output_of(capsys, *words, "--fit")[1])["fit"]
    assert list(fit) == ["cheapest", "fastest"]
    assert set(fit["fastest"]) == {"changes", "memoryPerDeviceGiB", "durationSeconds", "costUSD"}
    assert fit["fastest"]["memoryPerDeviceGiB"] < 22.5
