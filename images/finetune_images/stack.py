"""Puts a layer on an image whose other layers are on the node already: kilobytes to move, not gigabytes.

An OCI archive may leave out blobs that the importer has. So the new image's archive holds its manifest, its
configuration and the new layer; the layers below are only named. The dependency image names them too, which
keeps them from the node's garbage collector.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_LAYER = "application/vnd.oci.image.layer.v1.tar"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"

_CREATED = "1970-01-01T00:00:00Z"
"""The time is left out of the image, so that the same content gives the same image."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Base:
    """An image on the node: its manifest and its configuration."""

    manifest: Json
    config: Json


def stack(base: Base, layer: bytes, names: Sequence[str]) -> bytes:
    """An OCI archive of `base` with `layer` (an uncompressed tar) on top, under all of `names`."""
    config = json.loads(json.dumps(base.config))
    config["created"] = _CREATED
    config["rootfs"]["diff_ids"].append(_digest(layer))
    config.setdefault("history", []).append({"created": _CREATED, "created_by": "COPY --from=code / /"})
    packed_config = _pack(config)
    manifest = _pack(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _describe(_CONFIG, packed_config),
            "layers": [*base.manifest["layers"], _describe(_LAYER, layer)],
        }
    )
    entry = _describe(_MANIFEST, manifest)
    index = _pack(
        {
            "schemaVersion": 2,
            "mediaType": _INDEX,
            "manifests": [entry | {"annotations": {"io.containerd.image.name": name}} for name in names],
        }
    )
    blobs = {f"blobs/sha256/{_digest(blob)[7:]}": blob for blob in (layer, packed_config, manifest)}
    return _archive({"oci-layout": _pack({"imageLayoutVersion": "1.0.0"}), "index.json": index} | blobs)


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _describe(media_type: str, blob: bytes) -> Json:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}


def _pack(document: Json) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def _archive(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()
