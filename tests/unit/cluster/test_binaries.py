"""What is built, under which name it is kept, and when it is built again."""

import subprocess
import sys
from pathlib import Path

import pytest

from onenode import paths
from onenode.binaries import MODULES, BuildError, GoModule, binary, build

KUBERNETES = next(module for module in MODULES if module.name == "kubernetes")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GoModule:
    monkeypatch.setattr(paths, "GO_MODULES", tmp_path)
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool" / "go.mod").write_text("module onenode/tool\n\nrequire example.org/tool v1.2.3\n")
    (tmp_path / "tool" / "go.sum").write_text("")
    return GoModule("tool", ("example.org/tool/cmd/tool",), "example.org/tool", ("main.version={version}",))


def test_a_python_without_any_package_can_build_them_as_scripts_prepare_does() -> None:
    cluster = Path(__file__).parents[3] / "cluster"
    program = (
        f"import sys; sys.path.insert(0, {str(cluster)!r}); from onenode import binaries; binaries.build"
    )
    subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True)


def test_every_module_is_pinned_with_its_checksums() -> None:
    for module in MODULES:
        assert (module.folder / "go.mod").is_file()
        if module.version_of is not None:
            assert module.version.startswith("v")
            assert f"{module.version_of} {module.version} h1:" in (module.folder / "go.sum").read_text()


def test_kubernetes_libraries_have_the_release_of_kubernetes() -> None:
    minor_and_patch = KUBERNETES.version.removeprefix("v1")
    replaced = [
        line.split("=>")[1].split()
        for line in (KUBERNETES.folder / "go.mod").read_text().splitlines()
        if "=>" in line
    ]
    assert len(replaced) >= 31
    assert {version for _, version in replaced} == {f"v0{minor_and_patch}"}


def test_the_version_is_stamped_into_the_binaries() -> None:
    version = "k8s.io/component-base/version"
    assert f"-X {version}.gitVersion={KUBERNETES.version}" in KUBERNETES.ldflags
    assert f"-X {version}.gitMinor={KUBERNETES.version.split('.')[1]}" in KUBERNETES.ldflags


def test_unchanged_sources_keep_their_hash(module: GoModule) -> None:
    assert module.content_hash == module.content_hash


@pytest.mark.parametrize("file", ["go.mod", "go.sum", "main.go"])
def test_a_changed_source_changes_the_hash(module: GoModule, file: str) -> None:
    before = module.content_hash
    with (module.folder / file).open("a") as source:
        source.write("// changed\n")
    assert module.content_hash != before


def test_changed_flags_change_the_hash(module: GoModule) -> None:
    assert GoModule(module.name, module.packages, module.version_of).content_hash != module.content_hash


def test_a_module_that_does_not_require_its_version_says_so(module: GoModule) -> None:
    with pytest.raises(BuildError, match=r"go\.mod does not require example\.org/other"):
        _ = GoModule("tool", (), "example.org/other").version


def test_an_unknown_module_is_refused_with_those_there_are() -> None:
    with pytest.raises(BuildError, match=r"nothing here is called kubernetis.*kubernetes"):
        build(["kubernetis"])


def test_a_binary_that_was_not_built_says_how_to_build_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "BIN", tmp_path)
    with pytest.raises(BuildError, match="python -m onenode build"):
        binary("kubectl")
