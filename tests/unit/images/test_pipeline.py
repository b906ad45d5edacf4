import io
import json
import shutil
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from finetune_images import base, builders, host, paths, pipeline
from finetune_images.builders import Build
from finetune_images.catalogue import Image
from finetune_images.errors import ImageError
from finetune_images.pipeline import Plan
from finetune_images.stack import Base

DOCKERFILE = """
ARG BASE=debian:12
FROM ${BASE} AS deps
RUN --mount=type=bind,source=lock.txt,target=/lock.txt install
FROM scratch AS code
COPY lib /opt/lib
FROM deps
COPY --from=code / /
"""


@dataclass
class MemoryBuilder:
    """Keeps names in place of layers, and every build that it was asked for."""

    name: str = "memory"
    bases: set[str] = field(default_factory=set)
    store: set[str] = field(default_factory=set)
    built: list[Build] = field(default_factory=list)

    def build(self, build: Build) -> None:
        assert set(build.arguments.values()) <= self.bases
        assert build.secret.stat().st_mode & 0o777 == 0o600
        self.built.append(build)
        self.store.add(build.tag)

    def has(self, tag: str) -> bool:
        return tag in self.store

    def has_base(self, reference: str) -> bool:
        return reference in self.bases

    def pull(self, reference: str) -> bool:
        self.bases.add(reference)
        return True

    def export(self, tag: str, name: str, sink: IO[bytes]) -> None:
        assert tag in self.store
        sink.write(f"whole image {name}".encode())

    def forget(self, tag: str) -> None:
        self.store.remove(tag)


class MemoryNode:
    """Keeps the names that archives bring, and how many bytes each of them had."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}
        self.loads: list[int] = []

    def images(self) -> dict[str, str]:
        return dict(self.held)

    def base(self, name: str) -> Base:
        assert name in self.held
        return Base({"layers": [{"digest": "sha256:deps"}]}, {"rootfs": {"diff_ids": ["sha256:deps"]}})

    def load(self, write: object) -> None:
        sink = io.BytesIO()
        write(sink)  # type: ignore[operator]
        self.loads.append(len(sink.getvalue()))
        if sink.getvalue().startswith(b"whole image "):
            name = sink.getvalue().decode().split()[-1]
            self.held[name] = f"sha256:{name}"
            return
        sink.seek(0)
        with tarfile.open(fileobj=sink) as archive:
            index = json.load(archive.extractfile("index.json"))  # type: ignore[arg-type]
        for entry in index["manifests"]:
            self.held[entry["annotations"]["io.containerd.image.name"]] = entry["digest"]

    def remove(self, names: list[str]) -> None:
        for name in names:
            del self.held[name]


@dataclass
class Workshop:
    """A repository with one image, a builder and a node."""

    root: Path
    image: Image
    builder: MemoryBuilder
    node: MemoryNode

    def plan(self) -> Plan:
        return pipeline.plan(self.image)

    def load(self) -> Plan:
        plan = self.plan()
        pipeline.load([plan], self.node)  # type: ignore[arg-type]
        return plan


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    root = tmp_path / "repository"
    (root / "lib").mkdir(parents=True)
    (root / "lib" / "a.py").write_text("A = 1\n")
    (root / "lock.txt").write_text("torch==2\n")
    (root / "Dockerfile").write_text(DOCKERFILE)
    builder, node = MemoryBuilder(), MemoryNode()
    monkeypatch.setattr(paths, "REPOSITORY", root)
    monkeypatch.setattr(paths, "IMAGES", tmp_path / "cache")
    monkeypatch.setattr(paths, "TAGS", tmp_path / "cache" / "tags.json")
    monkeypatch.setattr(builders, "find", lambda: builder)
    monkeypatch.setattr(host, "read", lambda: host.HostSettings({}, {}))
    monkeypatch.delenv(base.OVERRIDE, raising=False)
    return Workshop(root, Image("app", "app", root / "Dockerfile", 0), builder, node)


def test_a_first_load_builds_the_dependencies_and_puts_our_code_on_them(workshop: Workshop) -> None:
    plan = workshop.load()
    (built,) = workshop.builder.built
    assert (built.target, built.arguments) == ("deps", {"BASE": "debian:12"})
    assert set(workshop.node.held) == {
        f"docker.io/library/{name}" for name in (plan.dependencies, plan.reference, "app:dev")
    }


def test_the_builder_forgets_what_the_node_has(workshop: Workshop) -> None:
    plan = workshop.load()
    assert not workshop.builder.has(plan.dependencies)


def test_without_a_change_nothing_is_built_and_nothing_moves(workshop: Workshop) -> None:
    first = workshop.load()
    workshop.node.loads.clear()
    assert workshop.load().reference == first.reference
    assert len(workshop.builder.built) == 1
    assert workshop.node.loads == []


def test_a_changed_line_moves_a_few_kilobytes_under_a_new_name(workshop: Workshop) -> None:
    first = workshop.load()
    workshop.node.loads.clear()
    (workshop.root / "lib" / "a.py").write_text("A = 2\n")
    second = workshop.load()
    assert second.dependencies == first.dependencies
    assert second.reference != first.reference
    assert len(workshop.builder.built) == 1
    (moved,) = workshop.node.loads
    assert moved < 50_000
    held = workshop.node.held
    assert held["docker.io/library/app:dev"] == held[f"docker.io/library/{second.reference}"]


def test_a_change_taken_back_only_moves_the_tag(workshop: Workshop) -> None:
    first = workshop.load()
    (workshop.root / "lib" / "a.py").write_text("A = 2\n")
    workshop.load()
    (workshop.root / "lib" / "a.py").write_text("A = 1\n")
    assert workshop.load().reference == first.reference
    held = workshop.node.held
    assert held["docker.io/library/app:dev"] == held[f"docker.io/library/{first.reference}"]


def test_new_dependencies_take_the_place_of_the_old_ones(workshop: Workshop) -> None:
    first = workshop.load()
    (workshop.root / "lock.txt").write_text("torch==3\n")
    second = workshop.load()
    assert second.dependencies != first.dependencies
    assert f"docker.io/library/{first.dependencies}" not in workshop.node.held
    assert f"docker.io/library/{first.reference}" not in workshop.node.held


def test_images_of_others_stay_on_the_node(workshop: Workshop) -> None:
    workshop.node.held = {
        "docker.io/library/app-of-another:1": "sha256:1",
        "registry.example/app:1": "sha256:2",
    }
    workshop.load()
    assert {"docker.io/library/app-of-another:1", "registry.example/app:1"} <= set(workshop.node.held)


def test_building_without_a_node_keeps_the_dependencies_for_a_later_load(workshop: Workshop) -> None:
    plan = workshop.plan()
    pipeline.build([plan], None)
    pipeline.build([plan], None)
    assert len(workshop.builder.built) == 1
    workshop.load()
    assert len(workshop.builder.built) == 1


def test_a_full_disk_is_refused_before_anything_is_built(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = workshop.plan()
    needy = Image("app", "app", plan.image.dockerfile, build_space_gb=30)
    usage = shutil.disk_usage(workshop.root)._replace(free=12_000_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ImageError, match=r"12 GB are free.*up to 30 GB.*XDG_CACHE_HOME"):
        pipeline.build([pipeline.plan(needy)], None)
    assert workshop.builder.built == []


def test_tags_are_recorded_by_the_images_short_names(workshop: Workshop) -> None:
    plan = workshop.plan()
    assert pipeline.record([plan]) == {"app": plan.reference}
    assert json.loads(paths.TAGS.read_text()) == {"app": plan.reference}
