"""etcd, containerd, runc, CNI plugins and busybox from the Debian archive, unpacked rather than installed.

Installing would start services and replace a containerd that someone else may be using; unpacking needs no
root and touches nothing. apt checks the archive's signatures.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from onenode import paths
from onenode.progress import step


class PackageError(Exception):
    """A Debian package could not be fetched or installed; the message says what to do."""


@dataclass(frozen=True)
class DebianPackage:
    """A package of the Debian archive and the folder in it that holds its programs."""

    name: str
    programs: str

    @property
    def folder(self) -> Path:
        """Where its programs lie once it is unpacked."""
        return paths.DEBIAN / self.name / self.programs

    def unpack(self) -> Path:
        """Fetches and unpacks the package unless that was done before; returns `folder`.

        Raises:
            PackageError: there is no apt here, or it cannot fetch the package.
        """
        if not self.folder.is_dir():
            paths.DEBIAN.mkdir(parents=True, exist_ok=True)
            with (paths.DEBIAN / f".{self.name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not self.folder.is_dir():
                    with step(f"fetching Debian's {self.name}"):
                        self._fetch()
        return self.folder

    def _fetch(self) -> None:
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise PackageError(
                f"{self.name} comes from the Debian archive, and this machine has no apt-get and dpkg-deb. "
                "Use a Debian or Ubuntu machine, or start a Docker engine: kind is used then."
            )
        with tempfile.TemporaryDirectory(dir=paths.DEBIAN, prefix=f".{self.name}-") as name:
            scratch = Path(name)
            result = _download(self.name, scratch)
            if result.returncode != 0:
                # A fresh machine has no package lists.
                _run(["apt-get", "update", "-qq"], scratch)
                result = _download(self.name, scratch)
            if result.returncode != 0:
                raise PackageError(f"apt-get cannot download {self.name}:\n{result.stderr.strip()}")
            (archive,) = scratch.glob("*.deb")
            unpacked = scratch / "unpacked"
            subprocess.run(["dpkg-deb", "-x", str(archive), str(unpacked)], check=True)
            destination = paths.DEBIAN / self.name
            shutil.rmtree(destination, ignore_errors=True)
            unpacked.rename(destination)


ETCD = DebianPackage("etcd-server", "usr/bin")
CONTAINERD = DebianPackage("containerd", "usr/bin")
RUNC = DebianPackage("runc", "usr/sbin")
CNI_PLUGINS = DebianPackage("containernetworking-plugins", "usr/lib/cni")
BUSYBOX = DebianPackage("busybox-static", "bin")

UNPACKED = (ETCD, CONTAINERD, RUNC, CNI_PLUGINS, BUSYBOX)

_TOOLS = {"nft": "nftables", "ip": "iproute2", "unshare": "util-linux"}
"""Programs that the node needs on PATH, and the packages that bring them. None of them starts a service."""


def install_tools() -> None:
    """Installs the packages of `_TOOLS` whose programs are missing. Raises PackageError."""
    install(_TOOLS)


def install(packages: Mapping[str, str]) -> None:
    """Installs packages, each named by a program that it brings, unless that program is there.

    Raises:
        PackageError: one is missing, and we are not root or apt cannot install it.
    """
    missing = sorted(package for program, package in packages.items() if shutil.which(program) is None)
    if not missing:
        return
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise PackageError(
            f"{', '.join(missing)} is needed. Install it (on Debian, as root: {' '.join(command)}), or start "
            "a Docker engine, then run this again"
        )
    with step(f"installing {', '.join(missing)}"):
        result = _run(command)
        if result.returncode != 0:
            _run(["apt-get", "update", "-qq"])
            result = _run(command)
    if result.returncode != 0:
        raise PackageError(f"apt-get cannot install {', '.join(missing)}:\n{result.stderr.strip()}")


def _download(package: str, folder: Path) -> subprocess.CompletedProcess[str]:
    # As root, apt would drop to a user that cannot write into the folder, and warn.
    return _run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package], folder)


def _run(command: list[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
