"""The csv format: prompt columns, an output column, and what is refused."""

import pytest

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.examples import BrokenRecordError, Origin, Record
from finetune_trainer.data.formats.csv import parse


def turns(fields: dict[str, object], columns: ColumnsSpec | None = None) -> list[tuple[str, str]]:
    conversation = parse(Record(Origin("f.csv", 2), fields), columns or ColumnsSpec())
    return [(message.role, message.content) for message in conversation.messages]


def test_input_and_output_are_the_columns_by_default() -> None:
    assert turns({"input": "q", "output": "a", "other": "x"}) == [("user", "q"), ("assistant", "a")]


def test_an_instruction_column_comes_before_the_input() -> None:
    assert turns({"instruction": "i", "input": "q", "output": "a"})[0] == ("user", "i\n\nq")


def test_columns_map_any_header() -> None:
    columns = ColumnsSpec(input="question", output="reply", system="role")
    fields: dict[str, object] = {"question": "q", "reply": "a", "role": "s"}
    assert turns(fields, columns) == [("system", "s"), ("user", "q"), ("assistant", "a")]


@pytest.mark.parametrize(
    ("fields", "columns", "problem"),
    [
        ({"a": "1", "b": "2"}, ColumnsSpec(), "there is no column 'input'; the header has: a, b"),
        ({"input": "1", "b": "2"}, ColumnsSpec(input="x"), "there is no column 'x'"),
        ({"input": "1", "b": "2"}, ColumnsSpec(), "'output' is missing"),
        ({"input": " ", "output": "2"}, ColumnsSpec(), "'input' must hold text"),
        ({"input": "1", "output": ""}, ColumnsSpec(), "'output' is empty"),
    ],
)
def test_a_row_that_cannot_be_used_says_which_column_and_why(
    fields: dict[str, object], columns: ColumnsSpec, problem: str
) -> None:
    with pytest.raises(BrokenRecordError, match=problem):
        turns(fields, columns)
