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
    found = {difference["path"]: difference["b"] for difference in json.loads(capsys.readouterr().out)}
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


def test_an_accelerator_that_nobody_knows_is_wrong_use(
    jobs: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *jobs, "--accelerator", "tpu"]) == 2
    assert "'tpu' is not in the catalog" in capsys.readouterr().err
