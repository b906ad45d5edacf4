import re

import pytest

from finetune_api import ConditionType, FineTuneJobStatus, Phase, Reason
from finetune_api.conditions import Condition

NOW = "2026-01-02T03:04:05Z"


@pytest.mark.parametrize("constants", [ConditionType, Phase, Reason])
def test_every_constant_is_camel_case_with_a_meaning_and_named_after_its_value(constants):
    for constant in constants:
        assert re.fullmatch(r"[A-Z][A-Za-z]+", constant.value)
        assert constant.meaning.endswith(".")
        assert constant.name == re.sub(r"(?<!^)(?=[A-Z])", "_", constant.value).upper()


def test_a_constant_is_its_text():
    assert Reason("DataError") is Reason.DATA_ERROR
    assert f"{Reason.DATA_ERROR}" == "DataError"


def test_a_condition_is_found_by_its_type():
    ready = {"type": "Ready", "status": "False", "reason": "Training", "lastTransitionTime": NOW}
    status = FineTuneJobStatus.from_json_object({"conditions": [ready]})
    assert status.condition(ConditionType.READY) == Condition.from_json_object(ready)
    assert status.condition(ConditionType.FAILED) is None
