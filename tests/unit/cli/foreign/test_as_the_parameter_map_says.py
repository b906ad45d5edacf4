"""An imported value lands where the parameter map says that it lives."""

from collections.abc import Iterator, Mapping

import pytest

from finetune_api.parameter_map import LLAMAFARM, TRAINING_ENGINE, WIZARD, YAML_FRAMEWORK, Parameter
from finetune_cli.foreign import engine, framework, llamafactory, llamafarm, wizard
from finetune_cli.foreign.rules import Mapped, Rule

NOT_AS_IT_STANDS = {
    "base_model.cache_dir": "a directory of the machine",
    "base_model.use_auth_token": "a secret",
    "checkpoint_dir": "a directory of the machine",
    "distributed.deepspeed_config": "a file, which is not here",
    "evaluation.benchmarks": "a name alone does not say what to ask",
    "llamafactory.dataset": "a name in dataset_info.json, which is not here",
    "output.eval_steps": "evaluation says it, where both are there",
    "training.hub_token": "a secret",
}
"""Parameters whose value is not taken over, and why."""

Known = tuple[str, Rule, Parameter]


def known() -> Iterator[Known]:
    """Each parameter of the map that an import has a rule for."""
    pytorch = {
        key.removeprefix("config."): rule for key, rule in llamafarm.table({"type": "pytorch"}).items()
    }
    factory: Mapping[str, Rule] = {f"llamafactory.{key}": rule for key, rule in llamafactory.TABLE.items()}
    tables = (
        (WIZARD, wizard.TABLE),
        (YAML_FRAMEWORK, framework.TABLE),
        (LLAMAFARM, pytorch),
        (LLAMAFARM, factory),
        (TRAINING_ENGINE, engine.TABLE),
    )
    for document, table in tables:
        for row in document.rows:
            if isinstance(row, Parameter) and row.name in table and not row.name.startswith("optimization."):
                yield f"{document.name}: {row.name}", table[row.name], row


@pytest.mark.parametrize(("rule", "row"), [pytest.param(rule, row, id=name) for name, rule, row in known()])
def test_a_value_lands_in_the_field_of_the_map(rule: Rule, row: Parameter) -> None:
    for theirs, ours in row.values.items():
        result = rule.read(theirs)
        if row.name in NOT_AS_IT_STANDS:
            assert not isinstance(result, Mapped)
        elif ours not in (None, False, "none", []):
            assert isinstance(result, Mapped), result
            section = row.field.partition("[]")[0]
            (path,) = (path for path in result.values if path.startswith(section))
            if path == row.field:
                assert result.values[path] == ours


def test_every_such_parameter_is_one() -> None:
    assert {row.name for _, _, row in known()} >= set(NOT_AS_IT_STANDS)
