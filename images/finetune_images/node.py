"""The containerd that runs the pods, and the images that it holds."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from finetune_images.errors import ImageError
from finetune_images.stack import Base
from onenode import debian, kind
from onenode import paths as onenode_paths

_KIND_NODE = f"{kind.CLUSTER_NAME}-control-plane"
"""The container in which kind runs the node."""

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


class Node:
    """A containerd, seen through its `ctr` command."""

    def __init__(self, ctr: list[str]) -> None:
        """`ctr` is the command up to where a subcommand begins, with address and namespace."""
        self._ctr = ctr

    def images(self) -> dict[str, str]:
        """Digests of the images that it holds, by name."""
        rows = self._output("images", "ls").decode().splitlines()[1:]
        return {row.split()[0]: row.split()[2] for row in rows}

    def base(self, name: str) -> Base:
        """The manifest and the configuration of an image that it holds."""
        manifest = self._document(self.images()[name])
        if manifest["mediaType"] in _INDEXES:
            # Attestations of the build stand beside the image; they have no platform.
            entries = [entry for entry in manifest["manifests"] if entry["platform"]["os"] == "linux"]
            manifest = self._document(entries[0]["digest"])
        return Base(manifest, self._document(manifest["config"]["digest"]))

    def load(self, write: Callable[[IO[bytes]], None]) -> None:
        """Imports the archive that `write` writes, and unpacks what of it is new.

        Raises:
            ImageError: containerd refused it.
        """
        command = [*self._ctr, "images", "import", "-"]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            # ctr may hang up in the middle; what it has to say of that is read below.
            with suppress(BrokenPipeError), process.stdin as sink:
                write(sink)
            said = process.stdout.read().decode()
        except BaseException:
            process.kill()
            raise
        finally:
            process.stdout.close()
            status = process.wait()
        if status != 0:
            raise ImageError(f"containerd cannot import the image:\n{said.strip()}")

    def remove(self, names: list[str]) -> None:
        """Forgets images, and waits until what only they used is gone. Pods that run are not disturbed."""
        present = self.images()
        kept = {digest for name, digest in present.items() if name not in names and not _is_alias(name)}
        gone = {present[name] for name in names} - kept
        # kubelet's interface to containerd keeps a second name for every image, which would hold its layers.
        aliases = [name for name, digest in present.items() if _is_alias(name) and digest in gone]
        if names:
            self._output("images", "rm", "--sync", *names, *aliases)

    def _document(self, digest: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self._output("content", "get", digest))
        return document

    def _output(self, *arguments: str) -> bytes:
        done = subprocess.run([*self._ctr, *arguments], capture_output=True, check=False)
        if done.returncode != 0:
            raise ImageError(f"ctr {' '.join(arguments)}: {done.stderr.decode().strip()}")
        return done.stdout


def _is_alias(name: str) -> bool:
    return name.startswith("sha256:")


def find() -> Node | None:
    """The node that this machine's cluster runs on, or None while it is down."""
    socket = os.environ.get("FINETUNE_CONTAINERD") or str(onenode_paths.CONTAINERD_SOCKET)
    if Path(socket).exists():
        ctr = shutil.which("ctr", path=f"{debian.CONTAINERD.folder}{os.pathsep}{os.environ.get('PATH', '')}")
        if ctr is None:
            raise ImageError(f"containerd listens at {socket}, and there is no ctr command to talk to it")
        return Node([ctr, "--address", socket, "--namespace", onenode_paths.CONTAINERD_NAMESPACE])
    if shutil.which("docker"):
        asked = ["docker", "inspect", "--format", "{{.State.Running}}", _KIND_NODE]
        if subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() == "true":
            inside = ["docker", "exec", "--interactive", _KIND_NODE, "ctr"]
            return Node([*inside, "--namespace", onenode_paths.CONTAINERD_NAMESPACE])
    return None
