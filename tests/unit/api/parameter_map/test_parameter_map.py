"""The parameter map: complete, true about the models, and fit to translate a configuration by."""

import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from finetune_api import FineTuneJobSpec
from finetune_api.job import FineTuneJobStatus
from finetune_api.parameter_map import DOCUMENTS, NOTHING, REQUIRED, Elsewhere, Parameter
from finetune_api.parameter_map.page import parameter_map_page
from finetune_api.validation.fields import default_at, field_named, model_at, plain

NAMES = Path(__file__).parent / "names.txt"
ROWS = [(document.name, row) for document in DOCUMENTS for row in document.rows]
FIELDS = [pytest.param(row, id=f"{name}: {row.name}") for name, row in ROWS if isinstance(row, Parameter)]
OTHERS = [pytest.param(row, id=f"{name}: {row.name}") for name, row in ROWS if isinstance(row, Elsewhere)]


def names_in_the_documents() -> dict[str, list[str]]:
    """Names of parameters by document, as somebody wrote them down who read the documents."""
    names: dict[str, list[str]] = {}
    for line in NAMES.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            names[line.strip("[]")] = current = []
        elif line and not line.startswith("#"):
            current.append(line)
    return names


def model_field(path: str) -> FieldInfo:
    *parents, name = path.replace("[]", "").split(".")
    model = model_at(FineTuneJobSpec, parents)
    field = None if model is None else field_named(model, name)
    assert field is not None, f"the API has no field {path}"
    return field


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_no_parameter_of_a_document_is_missing(document):
    assert [row.name for row in document.rows] == names_in_the_documents()[document.name]


def test_the_five_documents_have_more_than_200_parameters_and_none_twice():
    assert list(names_in_the_documents()) == [document.name for document in DOCUMENTS]
    assert len(ROWS) > 200
    assert len({(name, row.name) for name, row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", FIELDS)
def test_every_field_is_there_and_has_the_default_that_is_stated(row):
    field = model_field(row.field)
    if row.ours is REQUIRED:
        assert field.is_required()
        return
    default = default_at(FineTuneJobSpec, row.field.replace("[]", ""))
    assert default is not PydanticUndefined
    assert plain(default) == row.ours


@pytest.mark.parametrize("row", FIELDS)
def test_a_default_that_differs_is_explained(row):
    if row.theirs is not NOTHING and row.theirs != row.ours:
        assert row.note


@pytest.mark.parametrize("row", [param for param in FIELDS if param.values[0].values])
def test_every_translated_value_is_one_of_the_fields_values(row):
    field = model_field(row.field)
    adapter = TypeAdapter(field.rebuild_annotation())
    for value in row.values.values():
        adapter.validate_python(value)


@pytest.mark.parametrize("row", OTHERS)
def test_what_is_no_field_says_where_it_lives(row):
    assert row.place
    for path in re.findall(r"\bstatus(?:\.[a-zA-Z]+)+", row.place):
        parts = path.split(".")[1:]
        if parts[0] != "metrics":
            assert field_named(model_at(FineTuneJobStatus, parts[:-1]), parts[-1]) is not None
    for path in re.findall(r"\bspec((?:\.[a-zA-Z]+)+)", row.place):
        assert path == ".values" or model_field(path[1:])


def test_the_page_has_a_line_for_each_row():
    lines = parameter_map_page().splitlines()
    for _, row in ROWS:
        assert any(line.startswith(f"| `{row.name}` |") for line in lines)


def test_the_page_says_how_values_go_over():
    page = parameter_map_page()
    assert "| `lora_r` | `8` | `method.lora.rank` | `16` | the other documents start at 16 |" in page
    assert "`lora_only` is `loraOnly`" in page
