import pytest

from finetune_api import ConditionType, ExitCode, Phase, Reason, reference
from finetune_api.validation.codes import Code, FileCode


@pytest.mark.parametrize("constants", [ConditionType, Phase, Reason])
def test_every_constant_is_on_the_page_with_its_meaning(constants):
    page = reference.conditions_page()
    for constant in constants:
        assert f"| `{constant.value}` | {constant.meaning} |" in page


def test_every_exit_code_is_on_the_page():
    page = reference.conditions_page()
    for code in ExitCode:
        assert f"| {code.value} | `{code.name}` |" in page


def test_every_code_of_a_finding_is_on_the_page():
    page = reference.findings_page()
    for code in (*Code, *FileCode):
        assert f"| `{code.value}` | {code.meaning} |" in page


def test_fields_are_listed_with_type_default_and_meaning():
    page = reference.fine_tune_job_page()
    assert "| `training.gradientAccumulationSteps` | integer, ≥ 1, ≤ 65 536 | `16` | Forward passes" in page
    assert (
        "| `training.microBatchSize` | `auto` \\| integer, ≥ 1, ≤ 65 536 | `1` | Sequences per rank" in page
    )
    assert "| `dataset.train` | object | *required* |" in page
    assert "| `resources.env[].name` |" in page


def test_rules_and_limits_are_on_the_page():
    page = reference.fine_tune_job_page()
    assert "- `model`: a model comes from exactly one place. Set exactly one of id, path, config." in page
    assert "| `model.kernels` | `none`, `auto`, `liger` |" in page
    assert "| `dataset.train.upload` | only its default |" in page


def test_the_status_page_lists_the_attempts():
    assert "| `attempts[].resumedStep` |" in reference.status_page()
