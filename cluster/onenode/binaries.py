"""Builds Kubernetes, helm and the add-ons from the pinned Go modules in `cluster/go`, once per content."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from onenode import paths
from onenode.progress import step


class BuildError(Exception):
    """A Go module could not be built; the message holds the end of the compiler's output."""


@dataclass(frozen=True)
class GoModule:
    """One folder of `cluster/go` and the commands built from it.

    `version_of` names the required module whose version is stamped into the binaries through `version_flags`,
    where `{version}`, `{major}` and `{minor}` stand for it: clients compare it with their own, and an
    unstamped server looks ancient to them. `copied` names folders of that module that are kept beside the
    binaries, each under its last name.
    """

    name: str
    packages: tuple[str, ...]
    version_of: str | None = None
    version_flags: tuple[str, ...] = ()
    copied: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return paths.GO_MODULES / self.name

    @property
    def binaries(self) -> tuple[str, ...]:
        return tuple(self.name if package == "." else package.rsplit("/", 1)[-1] for package in self.packages)

    @property
    def version(self) -> str:
        """The pinned version, as go.mod has it.

        Raises:
            BuildError: go.mod does not require the module.
        """
        if self.version_of is None:
            return ""
        pattern = rf"^(?:require )?\s*{re.escape(self.version_of)} (v\S+)"
        match = re.search(pattern, (self.folder / "go.mod").read_text(), re.MULTILINE)
        if match is None:
            raise BuildError(
                f"{self.folder / 'go.mod'} does not require {self.version_of}. Add it with its version."
            )
        return match[1]

    @property
    def ldflags(self) -> str:
        if not self.version_flags:
            return "-s -w"
        major, minor, _ = self.version.removeprefix("v").split(".", 2)
        values = {"version": self.version, "major": major, "minor": minor}
        return " ".join(("-s -w", *(f"-X {flag.format_map(values)}" for flag in self.version_flags)))

    @property
    def content_hash(self) -> str:
        """Twelve hexadecimal digits that change whenever the binaries would."""
        digest = hashlib.sha256()
        for part in (self.ldflags, *self.packages, *self.copied, os.uname().machine):
            digest.update(part.encode() + b"\0")
        for source in sorted(path for path in self.folder.rglob("*") if path.is_file()):
            digest.update(bytes(source.relative_to(self.folder)) + b"\0" + source.read_bytes() + b"\0")
        return digest.hexdigest()[:12]

    @property
    def output(self) -> Path:
        return paths.BUILDS / f"{self.name}-{self.content_hash}"


_KUBERNETES = "k8s.io/kubernetes"
_KUBERNETES_COMMANDS = (
    "kubectl",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
)

MODULES = (
    GoModule("pause", (".",)),
    GoModule(
        "tools",
        (
            "helm.sh/helm/v4/cmd/helm",
            "./coredns",
            "github.com/rancher/local-path-provisioner",
            "github.com/yannh/kubeconform/cmd/kubeconform",
        ),
        "helm.sh/helm/v4",
        ("helm.sh/helm/v4/internal/version.version={version}",),
    ),
    GoModule(
        "kubernetes",
        tuple(f"{_KUBERNETES}/cmd/{command}" for command in _KUBERNETES_COMMANDS),
        _KUBERNETES,
        (
            "k8s.io/component-base/version.gitVersion={version}",
            "k8s.io/component-base/version.gitMajor={major}",
            "k8s.io/component-base/version.gitMinor={minor}",
        ),
    ),
    GoModule("kind", ("sigs.k8s.io/kind",), "sigs.k8s.io/kind"),
    GoModule(
        "cert-manager",
        (".",),
        "github.com/cert-manager/cert-manager",
        ("github.com/cert-manager/cert-manager/pkg/util.AppVersion={version}",),
        copied=("deploy/crds",),
    ),
)

OPTIONAL = frozenset({"kind", "cert-manager"})
"""Modules that are built only when they are named."""


def build(names: Iterable[str] = ()) -> None:
    """Builds the modules that are named, by their own name or a program's; all of them if none is.

    A module whose content was built before costs nothing. The programs are linked into `paths.BIN`. Go's own
    caches are removed at the end: they hold several times what the programs do.

    Raises:
        BuildError: a name is unknown, Go is missing, or the compiler failed.
    """
    wanted = set(names)
    known = {name for module in MODULES for name in (module.name, *module.binaries)}
    if unknown := wanted - known:
        raise BuildError(
            f"nothing here is called {', '.join(sorted(unknown))}. There are {', '.join(sorted(known))}."
        )
    modules = [
        module
        for module in MODULES
        if (wanted & {module.name, *module.binaries} if wanted else module.name not in OPTIONAL)
    ]
    with _locked():
        missing = [module for module in modules if not module.output.is_dir()]
        for module in missing:
            with step(f"building {module.name} {module.version}".rstrip()):
                _compile(module)
        for module in modules:
            _link(module)
        if missing:
            _remove_superseded()
            _discard_go_caches()


def binary(name: str) -> Path:
    """The path of a built binary.

    Raises:
        BuildError: it was not built yet.
    """
    path = paths.BIN / name
    if not path.exists():
        raise BuildError(f"{path} is not there. Build it with: python -m onenode build")
    return path


def beside(name: str) -> Path:
    """The folder that a built binary lies in, with the folders that were copied from its module.

    Raises:
        BuildError: it was not built yet.
    """
    return binary(name).resolve().parent


@contextmanager
def _locked() -> Iterator[None]:
    paths.BUILDS.mkdir(parents=True, exist_ok=True)
    with (paths.BUILDS / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _compile(module: GoModule) -> None:
    partial = module.output.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        _go(module, "build", "-trimpath", "-ldflags", module.ldflags, "-o", f"{partial}/", *module.packages)
        if module.copied and module.version_of:
            source = Path(_go(module, "list", "-m", "-f", "{{.Dir}}", module.version_of).strip())
            for folder in module.copied:
                shutil.copytree(source / folder, partial / Path(folder).name)
    except BuildError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    partial.rename(module.output)


def _go(module: GoModule, *arguments: str) -> str:
    """What a command of Go prints in the module's folder."""
    go = shutil.which("go")
    if go is None:
        raise BuildError("the Go compiler is not on PATH. Install Go 1.26 or newer, then try again.")
    environment = os.environ | {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false",
        "GOWORK": "off",
        "GOCACHE": str(paths.GO_CACHE / "build"),
        "GOMODCACHE": str(paths.GO_CACHE / "modules"),
    }
    result = subprocess.run(
        [go, *arguments], cwd=module.folder, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise BuildError(f"building {module.name} failed:\n{result.stderr[-2000:]}")
    return result.stdout


def _link(module: GoModule) -> None:
    paths.BIN.mkdir(parents=True, exist_ok=True)
    for name in module.binaries:
        target = Path("..") / module.output.name / name
        link = paths.BIN / name
        if link.is_symlink() and link.readlink() == target:
            continue
        fresh = paths.BIN / f".{name}.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.rename(link)


def _discard_go_caches() -> None:
    """Removes Go's caches in the background: a hundred thousand small files take some disks minutes."""
    discarded = paths.GO_CACHE.with_name(f".{paths.GO_CACHE.name}-{os.getpid()}")
    if paths.GO_CACHE.exists():
        paths.GO_CACHE.rename(discarded)
    left_over = paths.CACHE.glob(f".{paths.GO_CACHE.name}-*")
    subprocess.run(["setsid", "--fork", "rm", "-rf", *left_over], check=True)


def _remove_superseded() -> None:
    """Removes builds that no current module would use; a running cluster keeps its open files."""
    current = {module.output.name for module in MODULES}
    for folder in paths.BUILDS.iterdir():
        if folder.is_dir() and folder != paths.BIN and folder.name not in current:
            shutil.rmtree(folder)
