"""A version that stands in several files is the same in all of them."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[3]
LOCKS = {path.stem: path for path in ROOT.glob("requirements/*.txt")}
DOCUMENTS = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("cluster/*.md"),
    *ROOT.glob("images/*.md"),
]
HISTORY = {"log.md", "estimates.md", "CHANGELOG.md"}
"""Documents that tell what was measured with versions of then."""


def text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def project() -> dict[str, Any]:
    return tomllib.loads(text("pyproject.toml"))


def locked(name: str) -> dict[str, Version]:
    pins = re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", LOCKS[name].read_text(), re.MULTILINE)
    return {package: Version(version) for package, version in pins}


def found(pattern: str, *paths: Path) -> dict[str, str]:
    """What `pattern` captures in files, with the place where it stands."""
    return {
        f"{path.relative_to(ROOT)}:{number}": match[1]
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        for match in re.finditer(pattern, line)
    }


def current_documents() -> list[Path]:
    return [path for path in DOCUMENTS if path.name not in HISTORY]


@pytest.mark.parametrize("extra", ["operator", "trainer", "dev", "tracker-servers"])
def test_every_lock_holds_what_pyproject_asks_for(extra: str) -> None:
    declared = project()["project"]
    pins = locked(extra)
    for line in [*declared["dependencies"], *declared["optional-dependencies"][extra]]:
        requirement = Requirement(line)
        assert pins[requirement.name.lower()] in requirement.specifier, line


@pytest.mark.parametrize("image", ["operator", "trainer"])
def test_an_image_has_the_versions_that_the_tests_ran_with(image: str) -> None:
    tested = locked("dev")
    assert {name: tested.get(name) for name in locked(image)} == locked(image)


def test_a_package_is_declared_once_or_in_the_same_words() -> None:
    declared = project()["project"]
    groups = [project()["build-system"]["requires"], declared["dependencies"]]
    lines = {line for group in [*groups, *declared["optional-dependencies"].values()] for line in group}
    assert len({Requirement(line).name for line in lines}) == len(lines)


def test_python_is_one_version() -> None:
    python = project()["tool"]["mypy"]["python_version"]
    assert project()["tool"]["ruff"]["target-version"] == f"py{python.replace('.', '')}"
    assert Version(python) in Requirement(f"x{project()['project']['requires-python']}").specifier
    told = found(
        r"\b[Pp]ython ?(3\.\d+)",
        *current_documents(),
        *(ROOT / path for path in ("scripts/python", "operator/Dockerfile", "trainer-image/Dockerfile")),
    ) | found(r"--python-version (3\.\d+)", ROOT / "scripts/lock")
    assert {place: version for place, version in told.items() if version != python} == {}
    assert len(told) > 4


def test_go_is_one_version() -> None:
    modules = found(r"^go (\d+\.\d+)", *sorted(ROOT.glob("cluster/go/*/go.mod")))
    told = found(r"\bGo (\d+\.\d+)", *current_documents(), ROOT / "cluster/onenode/binaries.py")
    assert len(set((modules | told).values())) == 1, modules | told
    assert len(told) > 2


def test_kubernetes_is_one_version() -> None:
    (oldest,) = re.findall(r'kubeVersion: ">=(\d+\.\d+)\.0-0"', text("charts/finetune-operator/Chart.yaml"))
    assert set(found(r"Kubernetes (\d\.\d+) or later", *current_documents()).values()) == {oldest}
    (ours,) = re.findall(r"k8s\.io/kubernetes v(\d+\.\d+)", text("cluster/go/kubernetes/go.mod"))
    assert set(found(r"kubelet (\d\.\d+)", *current_documents()).values()) == {ours}


def test_both_images_stand_on_one_base() -> None:
    bases = found(r"^ARG BASE=(.+)", ROOT / "operator/Dockerfile", ROOT / "trainer-image/Dockerfile")
    assert len(bases) == 2
    assert len(set(bases.values())) == 1, bases


def test_the_chart_has_the_products_version() -> None:
    chart = yaml.safe_load(text("charts/finetune-operator/Chart.yaml"))
    assert {chart["version"], chart["appVersion"]} == {project()["project"]["version"]}


@pytest.mark.parametrize(
    ("package", "spoken"), [("trl", "TRL"), ("transformers", "transformers"), ("peft", "PEFT")]
)
def test_a_library_that_is_named_with_its_version_is_the_pinned_one(package: str, spoken: str) -> None:
    pinned = locked("dev")[package].release
    code = [path for room in ("cli", "crds", "trainer-image") for path in (ROOT / room).rglob("*.py")]
    told = found(rf"\b{spoken} (\d+(?:\.\d+)*)", *current_documents(), *code)
    assert told
    for place, version in told.items():
        release = tuple(map(int, version.split(".")))
        assert release == pinned[: len(release)], place
