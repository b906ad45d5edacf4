"""Images of one static binary, as containerd reads them."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from onenode.scratch_images import ScratchImage


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[tarfile.TarFile]:
    program = tmp_path / "program"
    program.write_bytes(b"a static binary")
    image = ScratchImage("tool", "abc", program, links=("sh",))
    with tarfile.open(image.write(tmp_path / "images")) as opened:
        yield opened


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    assert member is not None
    return member.read()


def _blob(archive: tarfile.TarFile, descriptor: dict[str, str]) -> bytes:
    return _read(archive, f"blobs/{descriptor['digest'].replace(':', '/')}")


def test_every_blob_is_found_under_its_digest(archive: tarfile.TarFile) -> None:
    blobs = [name for name in archive.getnames() if name.startswith("blobs/")]
    assert len(blobs) == 3
    for name in blobs:
        assert hashlib.sha256(_read(archive, name)).hexdigest() == name.rsplit("/", 1)[-1]


def test_the_image_is_known_under_its_reference(archive: tarfile.TarFile) -> None:
    (manifest,) = json.loads(_read(archive, "index.json"))["manifests"]
    assert manifest["annotations"]["io.containerd.image.name"] == "localhost/onenode/tool:abc"


def test_it_holds_the_program_its_links_and_nothing_else(archive: tarfile.TarFile) -> None:
    (described,) = json.loads(_read(archive, "index.json"))["manifests"]
    (layer,) = json.loads(_blob(archive, described))["layers"]
    with tarfile.open(fileobj=io.BytesIO(_blob(archive, layer))) as files:
        assert files.getnames() == ["tool", "bin/sh"]
        assert files.getmember("tool").mode == 0o755
        assert files.getmember("bin/sh").linkname == "/tool"


def test_the_configuration_names_the_uncompressed_layer(archive: tarfile.TarFile) -> None:
    (described,) = json.loads(_read(archive, "index.json"))["manifests"]
    manifest = json.loads(_blob(archive, described))
    configuration = json.loads(_blob(archive, manifest["config"]))
    assert configuration["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
    assert configuration["config"]["Entrypoint"] == ["/tool"]
