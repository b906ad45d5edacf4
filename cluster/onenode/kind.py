"""The same cluster from kind, where a Docker engine answers.

Thin on purpose: kind does the work. It has a fixed name and a kubeconfig of its own.
"""

import functools
import os
import shutil
import subprocess
from pathlib import Path

from onenode import binaries, paths
from onenode.kubeconfig import shell_environment
from onenode.progress import say

CLUSTER_NAME = "finetune-onenode"

CHOICE = "ONENODE_PROVIDER"
"""Environment variable: `kind` or `processes`. Without it kind is used where a Docker engine answers."""


class KindError(Exception):
    """kind failed; the message is its own."""


def is_preferred() -> bool:
    """Whether the cluster is to be made by kind."""
    choice = os.environ.get(CHOICE, "")
    if choice not in ("", "kind", "processes"):
        raise KindError(f"{CHOICE}={choice} is neither `kind` nor `processes`.")
    return choice == "kind" or (choice == "" and _docker_answers())


def up() -> None:
    """Creates the cluster unless it exists.

    Raises:
        KindError: kind could not create it.
        BuildError: kind is not on PATH and cannot be built.
    """
    binaries.build(["tools", "kubernetes"])
    if CLUSTER_NAME not in _kind("get", "clusters").split():
        paths.KUBECONFIG.parent.mkdir(parents=True, exist_ok=True)
        _kind("create", "cluster", *_ours(), "--wait", "120s")
    say(shell_environment())


def down() -> None:
    """Deletes the cluster; no error if there is none."""
    _kind("delete", "cluster", *_ours())
    paths.KUBECONFIG.unlink(missing_ok=True)


def status() -> int:
    """Prints whether the cluster exists; returns 0 if it does."""
    exists = CLUSTER_NAME in _kind("get", "clusters").split()
    print(
        f"kind cluster {CLUSTER_NAME}: {'running' if exists else 'not there. Start it with: make cluster-up'}"
    )
    return 0 if exists else 1


def load(archive: Path) -> None:
    """Loads an image archive into the cluster's node."""
    _kind("load", "image-archive", str(archive), "--name", CLUSTER_NAME)


def _ours() -> tuple[str, ...]:
    return ("--name", CLUSTER_NAME, "--kubeconfig", str(paths.KUBECONFIG))


@functools.cache
def _docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0


def _program() -> Path:
    installed = shutil.which("kind")
    if installed is not None:
        return Path(installed)
    binaries.build(["kind"])
    return binaries.binary("kind")


def _kind(*arguments: str) -> str:
    result = subprocess.run([str(_program()), *arguments], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise KindError(f"kind {' '.join(arguments)}: {result.stderr.strip()}")
    return result.stdout
