import hashlib
import io
import json
import tarfile
from typing import Any

from finetune_images.stack import Base, stack

BASE = Base(
    manifest={"layers": [{"mediaType": "tar+zstd", "digest": "sha256:below", "size": 6_000_000_000}]},
    config={
        "architecture": "amd64",
        "os": "linux",
        "config": {"User": "1000:1000", "Env": ["HOME=/tmp"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:uncompressed"]},
        "history": [{"created_by": "RUN install"}],
    },
)
LAYER = b"a tar"
NAMES = ["docker.io/library/x:1", "docker.io/library/x:dev"]


def read(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return {member.name: opened.extractfile(member).read() for member in opened}  # type: ignore[union-attr]


def blob(files: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    data = files["blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")]
    assert len(data) == descriptor["size"]
    assert descriptor["digest"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
    return data


def test_the_archive_leaves_out_the_layers_below() -> None:
    assert len(stack(BASE, LAYER, NAMES)) < 20_000


def test_every_name_leads_to_the_same_image() -> None:
    index = json.loads(read(stack(BASE, LAYER, NAMES))["index.json"])
    assert [entry["annotations"]["io.containerd.image.name"] for entry in index["manifests"]] == NAMES
    assert len({entry["digest"] for entry in index["manifests"]}) == 1


def test_the_image_is_the_base_with_one_layer_more() -> None:
    files = read(stack(BASE, LAYER, NAMES))
    manifest = json.loads(blob(files, json.loads(files["index.json"])["manifests"][0]))
    below, on_top = manifest["layers"]
    assert below == BASE.manifest["layers"][0]
    assert blob(files, on_top) == LAYER
    config = json.loads(blob(files, manifest["config"]))
    assert config["config"] == BASE.config["config"]
    assert config["rootfs"]["diff_ids"] == ["sha256:uncompressed", on_top["digest"]]
    assert len(config["history"]) == 2


def test_stacking_changes_nothing_of_the_base_and_gives_the_same_bytes_again() -> None:
    assert stack(BASE, LAYER, NAMES) == stack(BASE, LAYER, NAMES)
    assert BASE.config["rootfs"]["diff_ids"] == ["sha256:uncompressed"]
