"""Every rule of every program's table ends at a field of the API, whatever the value."""

from typing import Any

import pytest

from finetune_cli.fields import all_fields
from finetune_cli.foreign import axolotl, engine, framework, llamafactory, llamafarm, trl, wizard
from finetune_cli.foreign.reading import read
from finetune_cli.foreign.rules import Choice, Table, To

TABLES: dict[str, Table] = {
    "wizard": wizard.TABLE,
    "framework": framework.TABLE,
    "llamafarm": llamafarm.table({"type": "pytorch"}),
    "llamafarm-factory": llamafarm.table({"type": "llamafactory"}),
    "engine": engine.TABLE,
    "llamafactory": llamafactory.TABLE,
    "axolotl": axolotl.TABLE,
    "trl": trl.TABLE,
}


@pytest.mark.parametrize("value", ["x", 1.5, [], {"a": 1}, True, -1, "1e5"])
@pytest.mark.parametrize("name", TABLES)
def test_no_value_of_any_key_leads_to_a_traceback(name: str, value: Any) -> None:
    document = {key.replace("[]", "[0]"): value for key in TABLES[name]}
    assert len(read(document, TABLES[name]).lines) >= len(document)


@pytest.mark.parametrize("name", TABLES)
def test_every_path_and_choice_of_a_table_is_one_of_the_api(name: str) -> None:
    fields = all_fields()
    for key, rule in TABLES[name].items():
        if isinstance(rule, To | Choice):
            assert rule.path in fields, key
        if isinstance(rule, Choice) and "enum" in fields[rule.path].schema:
            assert set(rule.names.values()) <= set(fields[rule.path].schema["enum"]), key
