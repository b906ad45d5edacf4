"""docker, podman or buildah: whichever is there builds the Dockerfiles."""

import json
import os
import shutil
import subprocess
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from finetune_images import paths
from finetune_images.errors import ImageError
from onenode import debian

_PULL_SECONDS = 600

_SHOWN_LINES = 25
"""How much of the log of a failed build goes into its error."""


@dataclass(frozen=True)
class Build:
    """A stage to be built."""

    dockerfile: Path
    context: Path
    tag: str
    target: str
    arguments: Mapping[str, str]
    secret: Path
    """A file that RUN steps may mount as the secret `host`."""
    volumes: Sequence[str] = ()

    @property
    def options(self) -> list[str]:
        """What docker, podman and buildah understand alike."""
        options = ["--file", str(self.dockerfile), "--target", self.target]
        options += [f"--build-arg={name}={value}" for name, value in self.arguments.items()]
        return [*options, "--secret", f"id=host,src={self.secret}"]


class Builder(ABC):
    """A program that builds images from Dockerfiles."""

    name: str

    @abstractmethod
    def has_base(self, reference: str) -> bool:
        """Whether a Dockerfile may start from this image without pulling it."""

    @abstractmethod
    def pull(self, reference: str) -> bool:
        """Fetches a base from its registry; false if that cannot be reached or has no such image."""

    @abstractmethod
    def import_base(self, archive: Path, reference: str) -> None:
        """Makes a base of a root file system in a tar archive.

        Raises:
            ImageError: it could not be imported.
        """

    @abstractmethod
    def build(self, build: Build) -> None:
        """Builds, and keeps the result under its tag.

        Raises:
            ImageError: the build failed; the message holds the end of its log.
        """

    @abstractmethod
    def has(self, tag: str) -> bool:
        """Whether that was built and not forgotten."""

    @abstractmethod
    def export(self, tag: str, name: str, sink: IO[bytes]) -> None:
        """Writes what was built, to be called `name`, as an archive that containerd imports."""

    @abstractmethod
    def forget(self, tag: str) -> None:
        """Removes what was built."""


class Docker(Builder):
    """The docker command with an engine that answers; builds with BuildKit."""

    name = "docker"

    def has_base(self, reference: str) -> bool:
        return _succeeds(["docker", "image", "inspect", reference])

    def pull(self, reference: str) -> bool:
        return _succeeds(["docker", "pull", "--quiet", reference])

    def import_base(self, archive: Path, reference: str) -> None:
        _log(["docker", "import", str(archive), reference], reference)

    def build(self, build: Build) -> None:
        if build.volumes:
            raise ImageError(
                f"docker cannot mount {', '.join(build.volumes)} for a build. "
                "Name an index instead of a folder in find-links, or install buildah"
            )
        command = ["docker", "build", "--network", "host", *build.options, "--tag", build.tag]
        _log([*command, str(build.context)], build.tag)

    def has(self, tag: str) -> bool:
        return self.has_base(tag)

    def export(self, tag: str, name: str, sink: IO[bytes]) -> None:
        _run(["docker", "tag", tag, name])
        _run(["docker", "save", name], stdout=sink)

    def forget(self, tag: str) -> None:
        # Docker's layer cache is the user's, and `docker system prune` its broom.
        _run(["docker", "image", "rm", "--force", tag])


class ContainersStorage(Builder):
    """podman and buildah: a base comes from their store; the result goes straight to a folder in OCI layout.

    Committed to the store, an image of 6 GB would be written there, and read and written again to leave it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._command = [name, "--root", str(paths.STORE), "--runroot", str(paths.RUN)]

    def has_base(self, reference: str) -> bool:
        return _succeeds([*self._command, "inspect", "--type", "image", reference])

    def pull(self, reference: str) -> bool:
        return _succeeds([*self._command, "pull", "--quiet", reference])

    def import_base(self, archive: Path, reference: str) -> None:
        (archive.parent / "Dockerfile").write_text(f"FROM scratch\nADD {archive.name} /\n")
        _log([*self._command, "build", "--tag", reference, str(archive.parent)], reference)

    def build(self, build: Build) -> None:
        unfinished = paths.SCRATCH / f"build-{os.getpid()}"
        # chroot isolation asks for no namespaces that a container or a small machine might refuse. Without
        # --layers, instructions that follow each other are one layer.
        options = ["--isolation", "chroot", "--network", "host", "--layers=false", *build.options]
        options += [f"--volume={volume}" for volume in build.volumes]
        output = ["--tag", f"oci:{unfinished}:built"]
        try:
            _log([*self._command, "build", *options, *output, str(build.context)], build.tag)
            paths.BUILT.mkdir(parents=True, exist_ok=True)
            unfinished.rename(_folder(build.tag))
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
            self._prune()

    def has(self, tag: str) -> bool:
        return _folder(tag).is_dir()

    def export(self, tag: str, name: str, sink: IO[bytes]) -> None:
        index = _folder(tag) / "index.json"
        document = json.loads(index.read_text())
        (entry,) = document["manifests"]
        entry["annotations"] = {"io.containerd.image.name": name}
        index.write_text(json.dumps(document))
        with tarfile.open(fileobj=sink, mode="w|", bufsize=1 << 20) as archive:
            archive.add(_folder(tag), arcname=".")

    def forget(self, tag: str) -> None:
        shutil.rmtree(_folder(tag))

    def clean(self) -> None:
        """Removes the bases too."""
        _run([*self._command, "rmi", "--all", "--force"], stdout=subprocess.DEVNULL)

    def _prune(self) -> None:
        """Removes stages that others started from."""
        prune = ["image", "prune", "--force"] if self.name == "podman" else ["rmi", "--prune", "--force"]
        _run([*self._command, *prune], stdout=subprocess.DEVNULL)


def find() -> Builder:
    """The builder of this machine; buildah is installed if there is none and apt can do so.

    Raises:
        ImageError: there is none, and it cannot be installed.
    """
    if shutil.which("docker") and _succeeds(["docker", "version", "--format", "{{.Server.Version}}"]):
        return Docker()
    for name in ("podman", "buildah"):
        if shutil.which(name):
            return ContainersStorage(name)
    install("buildah", "buildah")
    return ContainersStorage("buildah")


def clean() -> None:
    """Removes the store of podman or buildah; docker's is the user's own."""
    if paths.STORE.is_dir():
        for name in ("podman", "buildah"):
            if shutil.which(name):
                ContainersStorage(name).clean()
                break
    for folder in (paths.BUILT, paths.STORE, paths.RUN, paths.SCRATCH):
        shutil.rmtree(folder, ignore_errors=True)


def install(program: str, package: str) -> None:
    """Installs a Debian package unless its program is there.

    Raises:
        ImageError: it is not, and we are not root or apt cannot install it.
    """
    try:
        debian.install({program: package})
    except debian.PackageError as error:
        raise ImageError(str(error)) from None


def _folder(tag: str) -> Path:
    return paths.BUILT / tag.replace("/", "_").replace(":", "-")


def _environment() -> dict[str, str]:
    # engines before 23 build without BuildKit unless they are told
    return os.environ | {"TMPDIR": str(paths.SCRATCH), "DOCKER_BUILDKIT": "1"}


def _succeeds(command: list[str]) -> bool:
    try:
        done = subprocess.run(
            command, env=_environment(), capture_output=True, timeout=_PULL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _log(command: list[str], tag: str) -> None:
    paths.LOGS.mkdir(parents=True, exist_ok=True)
    paths.SCRATCH.mkdir(parents=True, exist_ok=True)
    log = paths.LOGS / f"{_folder(tag).name}.log"
    with log.open("w") as output:
        done = subprocess.run(command, env=_environment(), stdout=output, stderr=output, check=False)
    if done.returncode != 0:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:])
        raise ImageError(f"{command[0]} cannot build {tag}. The end of {log}:\n{last}")


def _run(command: list[str], stdout: int | IO[bytes] | None = None) -> None:
    done = subprocess.run(command, env=_environment(), stdout=stdout, check=False)
    if done.returncode != 0:
        raise ImageError(f"{command[0]} failed with status {done.returncode}: {' '.join(command)}")
