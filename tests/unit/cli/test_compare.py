"""`finetune compare`: differences of effective values, and what they mean."""

import json
from pathlib import Path

import pytest

from finetune_cli.consequences import CHANGES, GROWTH, consequence
from finetune_cli.fields import all_fields
from finetune_cli.main import main

JOB = """\
apiVersion: finetune.dev/v1alpha1
kind: FineTuneJob
metadata: {{name: job}}
spec: {{model: {{id: org/model}}, dataset: {{train: {{path: /data}}}}, training: {{{training}}}}}
"""


@pytest.fixture
def jobs(tmp_path: Path) -> tuple[str, str]:
    a, b = tmp_path / "a.yaml", tmp_path / "b.yaml"
    a.write_text(JOB.format(training="epochs: 3"))
    b.write_text(JOB.format(training="learningRate: 1.0e-3, optimizer: sgd"))
    return str(a), str(b)


def test_a_value_that_equals_the_default_is_no_difference(
    jobs: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *jobs]) == 0
    assert capsys.readouterr().out == (
        "training.learningRate: 0.0002 → 0.001\n"
        "  Peak learning rate, after the warm-up.\n"
        "  Learns faster, and may become unstable.\n"
        "training.optimizer: adamw → sgd\n"
        "  Optimizer; 8bit keeps its state in 8 bit, paged lets that state move to host memory.\n"
        "  The optimizer's memory changes, and the learning rate may have to.\n"
    )


def test_one_job_is_compared_with_itself_as_set_changes_it(
    jobs: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", jobs[0], "--set", "preset=chat", "-o", "json"]) == 0
    differences = json.loads(capsys.readouterr().out)["differences"]
    found = {difference["path"]: difference["b"] for difference in differences}
    assert found == {"dataset.format": "messages", "dataset.preprocessing.supervise": "answers"} | {
        "training.maxSequenceLength": 4096
    }


def test_the_same_job_twice_has_no_difference(
    jobs: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", jobs[0], jobs[0]]) == 0
    assert capsys.readouterr().out == "no difference\n"


def test_a_single_file_without_a_change_is_wrong_use(jobs: tuple[str, str]) -> None:
    assert main(["compare", jobs[0]]) == 2


def test_a_broken_file_exits_with_1(tmp_path: Path, jobs: tuple[str, str]) -> None:
    assert main(["compare", jobs[0], str(tmp_path / "none.yaml")]) == 1


def test_growing_and_shrinking_mean_different_things() -> None:
    assert consequence("method.lora.rank", 8, 16) != consequence("method.lora.rank", 16, 8)
    assert consequence("method.lora.rank", None, 16) == ""


def test_every_consequence_is_about_a_field_of_the_api() -> None:
    assert set(GROWTH) | set(CHANGES) <= set(all_fields())


def test_the_difference_of_the_estimates_follows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(JOB.format(training="maxSteps: 100").replace("org/model", "gpt2"))
    change = ("--set", "training.maxSteps=200", "--accelerator", "l4")
    assert main(["compare", str(job), *change]) == 0
    page = capsys.readouterr().out
    assert "estimate:\n  steps: 100 → 200\n" in page
    assert "memory" not in page.partition("estimate:")[2]


def test_where_a_change_leaves_the_estimate_alone_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(JOB.format(training="maxSteps: 100").replace("org/model", "gpt2"))
    change = ("--set", "training.learningRate=1e-3")
    assert main(["compare", str(job), *change, "--accelerator", "l4"]) == 0
    assert capsys.readouterr().out.endswith("estimate: the same\n")
    assert main(["compare", str(job), *change]) == 0
    assert "estimate" not in capsys.readouterr().out


def test_where_there_can_be_no_estimate_it_says_why(
    jobs: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *jobs, "--accelerator", "l4"]) == 0
    captured = capsys.readouterr()
    assert "estimate" not in captured.out
    assert captured.err.startswith("finetune compare: no estimate: model: the architecture of org/model")


def test_json_holds_both_estimates_or_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(JOB.format(training="maxSteps: 100").replace("org/model", "gpt2"))
    words = ["compare", str(job), "--set", "training.maxSteps=200", "-o", "json"]
    assert main([*words, "--accelerator", "l4"]) == 0
    estimates = json.loads(capsys.readouterr().out)["estimate"]
    assert {name: (found["fits"], found["steps"]) for name, found in estimates.items()} == {
        "a": (True, 100),
        "b": (True, 200),
    }
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["estimate"] is None


def test_differences_stand_in_the_order_of_the_api(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(JOB.format(training="epochs: 1"))
    change = ("--set", "training.maxSteps=5", "--set", "training.optimizer=sgd")
    assert main(["compare", str(job), *change, "-o", "json"]) == 0
    paths = [difference["path"] for difference in json.loads(capsys.readouterr().out)["differences"]]
    assert paths == ["training.maxSteps", "training.optimizer"]


def test_an_accelerator_that_nobody_knows_is_wrong_use(
    jobs: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *jobs, "--accelerator", "tpu"]) == 2
    assert "'tpu' is not in the catalog" in capsys.readouterr().err
