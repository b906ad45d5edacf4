"""docs/cli.md is what `--help` prints."""

import tomllib

from finetune_cli.main import VERBS
from finetune_cli.reference import PAGE, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make generate`"


def test_every_verb_is_on_it_with_its_exit_statuses() -> None:
    sections = {part.partition("\n")[0]: part for part in page().split("\n## finetune ")[1:]}
    assert set(sections) == set(VERBS)
    assert [name for name, text in sections.items() if "exit status" not in text] == ["completion", "version"]


def test_kubectl_finds_the_same_program_as_its_plugin() -> None:
    scripts = tomllib.loads((PAGE.parents[1] / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts["kubectl-finetune"] == scripts["finetune"] == "finetune_cli.main:main"
