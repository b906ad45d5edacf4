"""What all formats of conversations do alike."""

from typing import Any

import pytest

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.examples import BrokenRecordError, Conversation, Origin, Preference, Record, turns
from finetune_trainer.data.formats import FORMATS

SYSTEM = {"role": "system", "content": "turn"}
QUESTION, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
RECORDS: dict[str, dict[str, Any]] = {
    "messages": {"messages": [SYSTEM, QUESTION, ANSWER]},
    "sharegpt": {
        "conversations": [
            {"from": "system", "value": "turn"},
            {"from": "human", "value": "q"},
            {"from": "gpt", "value": "a"},
        ]
    },
    "promptCompletion": {"prompt": [SYSTEM, QUESTION], "completion": "a"},
    "preference": {"prompt": [SYSTEM, QUESTION], "chosen": "a", "rejected": "b"},
}


@pytest.mark.parametrize("form", RECORDS)
def test_a_system_column_and_a_system_turn_are_one_prompt_or_a_mistake(form: str) -> None:
    def systems(column: str | None) -> list[str]:
        record = Record(Origin("f", 1), RECORDS[form] | {"system": column})
        example = FORMATS[form].parse(record, ColumnsSpec())
        assert isinstance(example, Conversation | Preference)
        return [turn.content for turn in turns(example) if turn.role == "system"]

    assert systems(None) == systems("turn") == ["turn"]
    with pytest.raises(BrokenRecordError, match="'system' holds a system prompt"):
        systems("column")
