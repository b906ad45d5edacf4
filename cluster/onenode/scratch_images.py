"""The images of the cluster's own pods: one static binary each, in an image that holds nothing else.

They are written as OCI image layouts by hand, so that the cluster starts where no image registry can be
reached.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from onenode.binaries import binary
from onenode.debian import BUSYBOX

PREFIX = "localhost/onenode/"
"""How the names of all these images begin."""

_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]


@dataclass(frozen=True)
class ScratchImage:
    """An image made of one program at `/<name>`, with `links` to it."""

    name: str
    version: str
    program: Path
    links: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        return f"{PREFIX}{self.name}:{self.version}"

    def write(self, folder: Path) -> Path:
        """Writes the image as a tar archive that containerd imports, and returns its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.tar"
        layer = self._layer()
        blobs: dict[str, bytes] = {}
        configuration = {
            "architecture": _ARCHITECTURE,
            "os": "linux",
            "config": {"Entrypoint": [f"/{self.name}"], "Env": ["PATH=/bin:/"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _add(
                blobs, "application/vnd.oci.image.config.v1+json", json.dumps(configuration).encode()
            ),
            "layers": [_add(blobs, "application/vnd.oci.image.layer.v1.tar", layer)],
        }
        described = _add(blobs, manifest["mediaType"], json.dumps(manifest).encode())
        annotations = {"io.containerd.image.name": self.reference}
        index = {"schemaVersion": 2, "manifests": [described | {"annotations": annotations}]}
        with tarfile.open(path, "w") as archive:
            _put(archive, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
            _put(archive, "index.json", json.dumps(index).encode())
            for digest, content in blobs.items():
                _put(archive, f"blobs/{digest.replace(':', '/')}", content)
        return path

    def _layer(self) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            _put(archive, self.name, self.program.read_bytes(), mode=0o755)
            for link in self.links:
                entry = tarfile.TarInfo(f"bin/{link}")
                entry.type = tarfile.SYMTYPE
                entry.linkname = f"/{self.name}"
                archive.addfile(entry)
        return buffer.getvalue()


def all_images() -> Iterator[ScratchImage]:
    """Every image that the node and its add-ons run."""
    for name in ("pause", "coredns", "local-path-provisioner"):
        program = binary(name).resolve()
        # The folder of a build ends in the hash of what it was built from.
        yield ScratchImage(name, program.parent.name.rsplit("-", 1)[-1], program)
    busybox = BUSYBOX.folder / "busybox"
    version = hashlib.sha256(busybox.read_bytes()).hexdigest()[:12]
    yield ScratchImage(
        "busybox", version, busybox, links=("sh", "mkdir", "rm", "sleep", "cat", "wget", "nslookup")
    )


def reference(name: str) -> str:
    """The full name of one of the images, as a pod's manifest has to spell it."""
    return next(image.reference for image in all_images() if image.name == name)


def _add(blobs: dict[str, bytes], media_type: object, content: bytes) -> dict[str, object]:
    digest = _digest(content)
    blobs[digest] = content
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _put(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = mode
    archive.addfile(entry, io.BytesIO(content))
