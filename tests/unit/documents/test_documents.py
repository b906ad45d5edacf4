"""What the documents promise is there: links, files, functions, fields, chart values, samples, commands."""

import ast
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from finetune_api import FineTuneJobStatus, check_manifest
from finetune_api.presets import builtin_presets
from finetune_cli.fields import children, field_at
from finetune_cli.main import VERBS, parser_for
from finetune_operator.app import Operator
from finetune_operator.cluster import Cluster
from finetune_operator.settings import Settings

ROOT = Path(__file__).parents[3]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("cluster/*.md"), *ROOT.glob("images/*.md")]
)
OF_THE_PRODUCT = [path for path in DOCUMENTS if path.parent.name not in {"cluster", "images"}]
"""Documents whose paths count from the root of the repository."""
WRITTEN_BY_HAND = [path for path in OF_THE_PRODUCT if path.parent.name != "reference"]

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PATH = re.compile(
    r"`((?:charts|cli|cluster|crds|demo|docs|examples|images|operator|requirements|scripts|tests|trainer-image)"
    r"/[\w./-]+)`"
)
_FUNCTION = re.compile(r"`([\w/-]+\.py)`(?: \||,) `(\w+)`")
_COMMAND = re.compile(r"^ {4}((?:finetune|make|kubectl apply -f) [^|\n]*)", re.MULTILINE)
_INLINE_COMMAND = re.compile(r"`(finetune|make) ([a-z][a-z-]*)[^`]*`")
_DOTTED = re.compile(
    r"`((?:[A-Za-z]\w*(?:\[\d*\])?\.)+(?!(?:py|md|json|jsonl|yaml|log)\b)[A-Za-z]\w*)(?:: [^`]*)?`"
)
_YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(document: Path, level: str = "#+") -> set[str]:
    """What can follow `#` in a link to a document, as GitHub makes it from headings (of one level)."""
    headings = re.findall(rf"^{level} +(.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def tracked_files() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


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


def test_the_log_s_table_of_contents_leads_to_every_section() -> None:
    log = ROOT / "docs/log.md"
    contents, *_ = log.read_text(encoding="utf-8").partition("\n## ")
    linked = {link.removeprefix("#") for link in _LINK.findall(contents)}
    assert linked == anchors(log, level="##")


@pytest.mark.parametrize("document", OF_THE_PRODUCT, ids=name)
def test_every_file_that_is_named_is_there(document: Path) -> None:
    for path in _PATH.findall(document.read_text(encoding="utf-8")):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("document", ["README.md", "docs/architecture.md"])
def test_every_function_that_is_named_beside_a_file_is_in_it(document: str) -> None:
    named = _FUNCTION.findall((ROOT / document).read_text(encoding="utf-8"))
    assert len(named) >= 5
    for path, function in named:
        definition = rf"^(?:class|def|async def) {function}\b"
        assert re.search(definition, (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), function


@pytest.mark.parametrize("document", WRITTEN_BY_HAND, ids=name)
def test_every_field_that_is_named_is_one(document: Path) -> None:
    sections = {"spec", "status", *(field.path for field in children(""))} - {"tracking"}
    for path in _DOTTED.findall(document.read_text(encoding="utf-8")):
        if path.partition(".")[0] in sections:
            field_at(path)


@pytest.mark.parametrize("document", ["README.md", "docs/architecture.md", "docs/operating.md"])
def test_every_value_of_the_chart_that_is_named_is_one(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    values = yaml.safe_load((ROOT / "charts/finetune-operator/values.yaml").read_text(encoding="utf-8"))
    specs = {field.path for field in children("")}
    set_on_the_command_line = re.findall(r"--set ([\w.]+)=", text)
    named = [path for path in _DOTTED.findall(text) if path.split(".")[0] in values.keys() - specs]
    for path in [*named, *set_on_the_command_line]:
        found: Any = values
        for key in path.split("."):
            assert key in found, path
            found = found[key]


@pytest.mark.parametrize("document", OF_THE_PRODUCT, ids=name)
def test_every_sample_of_a_job_is_valid(document: Path) -> None:
    for sample in _YAML.findall(document.read_text(encoding="utf-8")):
        told = yaml.safe_load(sample)
        if "status" in told:
            for condition in told["status"].get("conditions", []):
                condition |= {"reason": "Succeeded", "lastTransitionTime": "2026-01-01T00:00:00Z"} | condition
            FineTuneJobStatus.from_json_object(told["status"])
        if "spec" in told and told.get("kind", "FineTuneJob") == "FineTuneJob":
            least = {"model": {"id": "org/model"}, "dataset": {"train": {"path": "/data"}}}
            job = {
                "apiVersion": "finetune.dev/v1alpha1",
                "kind": "FineTuneJob",
                "metadata": {"name": "sample"},
            }
            _, findings = check_manifest(job | {"spec": least | told["spec"]})
            assert [str(finding) for finding in findings if finding.severity == "error"] == []


def test_the_readme_counts_the_presets_right() -> None:
    words = {29: "twenty-nine", 30: "thirty", 31: "thirty-one", 32: "thirty-two"}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"lists {words[len(builtin_presets())]} starting points" in readme


def test_the_tree_in_the_readme_is_the_repositorys() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^ {4}([a-z-]+)/ +\S", readme, re.MULTILINE))
    folders = {file.partition("/")[0] for file in tracked_files() if "/" in file}
    assert told == {folder for folder in folders if not folder.startswith(".")}


def test_every_package_says_what_it_is_for() -> None:
    packages = [file for file in tracked_files() if file.endswith("/__init__.py")]
    assert len(packages) > 20
    for package in packages:
        assert ast.get_docstring(ast.parse((ROOT / package).read_text(encoding="utf-8"))), package


def test_every_target_of_make_and_every_verb_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    told = {target for _, words in commands("make") for target in words[1:] if not target.startswith("-")}
    assert {"demo", "test"} <= told <= targets
    for document in WRITTEN_BY_HAND:
        for program, word in _INLINE_COMMAND.findall(document.read_text(encoding="utf-8")):
            assert word in (targets if program == "make" else VERBS), f"{name(document)}: {program} {word}"


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
