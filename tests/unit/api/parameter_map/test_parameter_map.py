"""The parameter map: complete, true about the models, and fit to translate a configuration by."""

import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from finetune_api import FineTuneJobSpec
from finetune_api.parameter_map import DOCUMENTS, NOTHING, REQUIRED, Document, Elsewhere, Parameter
from finetune_api.parameter_map.page import parameter_map_page
from finetune_api.status import FineTuneJobStatus
from finetune_api.validation.fields import default_at, field_named, model_at, plain

NAMES = Path(__file__).parent / "names.txt"
ROWS = [(document.name, row) for document in DOCUMENTS for row in document.rows]
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)


def fields(document: Document) -> list[Parameter]:
    return [row for row in document.rows if isinstance(row, Parameter)]


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


@each_document
def test_no_parameter_of_a_document_is_missing(document):
    assert [row.name for row in document.rows] == names_in_the_documents()[document.name]


def test_the_five_documents_have_more_than_200_parameters_and_none_twice():
    assert list(names_in_the_documents()) == [document.name for document in DOCUMENTS]
    assert len(ROWS) > 200
    assert len({(name, row.name) for name, row in ROWS}) == len(ROWS)


def model_default(path: str) -> object:
    if model_field(path).is_required():
        return REQUIRED
    return plain(default_at(FineTuneJobSpec, path.replace("[]", "")))


@each_document
def test_every_field_is_there_and_has_the_default_that_is_stated(document):
    stated = {row.name: row.ours for row in fields(document)}
    assert stated == {row.name: model_default(row.field) for row in fields(document)}


@each_document
def test_a_default_that_differs_is_explained(document):
    differing = [row for row in fields(document) if row.theirs is not NOTHING and row.theirs != row.ours]
    assert [row.name for row in differing if not row.note] == []


@each_document
def test_every_translated_value_is_one_of_the_fields_values(document):
    for row in fields(document):
        if row.values:
            adapter = TypeAdapter(model_field(row.field).rebuild_annotation())
            for value in row.values.values():
                adapter.validate_python(value)


@each_document
def test_what_is_no_field_says_where_it_lives(document):
    for row in document.rows:
        if isinstance(row, Elsewhere):
            assert row.place
            for path in re.findall(r"\bstatus((?:\.[a-zA-Z]+)+)", row.place):
                assert is_status_field(path[1:]), row.name


def is_status_field(path: str) -> bool:
    *parents, name = path.split(".")
    if parents == ["metrics"]:
        return field_named(FineTuneJobStatus, "metrics") is not None
    model = model_at(FineTuneJobStatus, parents)
    return model is not None and field_named(model, name) is not None


def test_the_page_has_a_line_for_each_row():
    lines = parameter_map_page().splitlines()
    for _, row in ROWS:
        assert any(line.startswith(f"| `{row.name}` |") for line in lines)


def test_the_page_says_how_values_go_over():
    page = parameter_map_page()
    assert "| `lora_r` | `8` | `method.lora.rank` | `16` | the other documents start at 16 |" in page
    assert "`lora_only` is `loraOnly`" in page
