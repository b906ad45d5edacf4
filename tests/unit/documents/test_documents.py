"""What the documents promise is there: links, files, targets of make, commands as they are written."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from finetune_cli.main import parser_for
from finetune_operator.app import Operator
from finetune_operator.cluster import Cluster
from finetune_operator.settings import Settings

ROOT = Path(__file__).parents[3]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("cluster/*.md"), *ROOT.glob("images/*.md")]
)
OF_THE_PRODUCT = [path for path in DOCUMENTS if path.parent.name not in {"cluster", "images"}]
"""Documents whose paths count from the root of the repository."""

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PATH = re.compile(
    r"`((?:charts|cli|cluster|crds|demo|docs|examples|images|operator|requirements|scripts|tests|trainer-image)"
    r"/[\w./-]+)`"
)
_COMMAND = re.compile(r"^ {4}((?:finetune|make|kubectl apply -f) [^|\n]*)", re.MULTILINE)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(document: Path) -> set[str]:
    """What can follow `#` in a link to a document, as GitHub makes it from headings."""
    headings = re.findall(r"^#+ +(.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def commands(*programs: str) -> Iterator[tuple[str, list[str]]]:
    for document in OF_THE_PRODUCT:
        for line in _COMMAND.findall(document.read_text(encoding="utf-8")):
            words = shlex.split(line, comments=True)
            if words[0] in programs:
                yield name(document), words


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in _LINK.findall(document.read_text(encoding="utf-8")):
        if link.startswith(("http:", "https:", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("document", OF_THE_PRODUCT, ids=name)
def test_every_file_that_is_named_is_there(document: Path) -> None:
    for path in _PATH.findall(document.read_text(encoding="utf-8")):
        assert (ROOT / path).exists(), path


def test_the_tree_in_the_readme_is_the_repositorys() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^ {4}([a-z-]+)/ +\S", readme, re.MULTILINE))
    there = {path.name for path in ROOT.iterdir() if path.is_dir() and (path.name[0] not in "._")}
    assert told <= there
    assert {"charts", "cli", "crds", "operator", "trainer-image", "tests"} <= told


def test_every_target_of_make_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    told = {target for _, words in commands("make") for target in words[1:] if not target.startswith("-")}
    assert {"demo", "test"} <= told <= targets


@pytest.mark.parametrize(("document", "words"), [*commands("finetune")], ids=lambda value: str(value)[:80])
def test_every_command_can_be_typed_as_it_is_written(document: str, words: list[str]) -> None:
    parser_for(*words[1:2]).parse_args(words[1:])
    for word in words:
        assert not word.startswith("examples/") or (ROOT / word).exists(), word


async def test_every_metric_of_the_operator_is_documented() -> None:
    settings = Settings.model_validate({"namespace": "x", "trainer": {"image": "y"}})
    operator = Operator(settings, cast("Cluster", None))
    text = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(finetune_[a-z_]+)", text, re.MULTILINE))
    families = list(operator.metrics.registry.collect())
    assert told == {
        f"{family.name}_total" if family.type == "counter" else family.name for family in families
    }
