"""What has to be built, what has to be moved: each image in two parts, each part named after its content.

The dependencies (`finetune-trainer-deps:<hash>`) are built by a Dockerfile, brought to the node once, and
forgotten by the builder. Our code is a layer that is packed here and put on top of them
(`finetune-trainer:<hash>`).
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from finetune_images import base, builders, content, dockerfile, host, paths
from finetune_images.builders import Build, Builder
from finetune_images.catalogue import IMAGES, Image
from finetune_images.errors import ImageError
from finetune_images.node import Node
from finetune_images.stack import stack
from onenode.progress import step

REGISTRY = "docker.io/library"
"""Where containerd and kubelet look for a name without a registry."""

NEWEST = "dev"
"""The tag that always names the newest image."""


@dataclass(frozen=True)
class Plan:
    """An image as the sources are now."""

    image: Image
    dependencies: str
    """Name of the dependency image."""
    reference: str
    """Name of the image, as a pod writes it."""
    layer: bytes
    """Our code."""

    @property
    def newest(self) -> str:
        """The image's name with the tag that moves."""
        return f"{self.image.repository}:{NEWEST}"


def on_node(name: str) -> str:
    """An image's name as containerd knows it."""
    return f"{REGISTRY}/{name}"


def plan(image: Image) -> Plan:
    """Names the image and its dependencies after the sources."""
    described = dockerfile.read(image.dockerfile)
    wanted = described.closure("deps")
    inputs = content.inputs_tag(wanted, paths.REPOSITORY, *described.arguments.values())
    layer = content.code_layer(described.stage("code"), paths.REPOSITORY)
    return Plan(
        image,
        dependencies=f"{image.repository}-deps:{inputs}",
        reference=f"{image.repository}:{content.tag(inputs, layer)}",
        layer=layer,
    )


def build(plans: Sequence[Plan], node: Node | None) -> None:
    """Builds the dependency images that neither the node nor the builder has.

    Raises:
        ImageError: there is no builder, no room on the disk, or a build failed.
    """
    present = node.images() if node is not None else {}
    missing = [plan for plan in plans if on_node(plan.dependencies) not in present]
    if missing:
        builder = builders.find()
        for plan in missing:
            if not builder.has(plan.dependencies):
                _build(plan, builder)


def load(plans: Sequence[Plan], node: Node) -> None:
    """Brings to the node what it lacks; building comes first, if need be.

    Once all is there, the node forgets images of ours with other dependencies: they take gigabytes.

    Raises:
        ImageError: a build or an import failed.
    """
    moved = [plan for plan in plans if on_node(plan.dependencies) not in node.images()]
    for plan in plans:
        if plan in moved:
            build([plan], node)
            _move(plan, builders.find(), node)
        present = node.images()
        names = [on_node(plan.reference), on_node(plan.newest)]
        # The tag that moves may still name the image before this one.
        if names[0] not in present or present[names[0]] != present.get(names[1]):
            with step(f"loading {plan.reference}"):
                archive = stack(node.base(on_node(plan.dependencies)), plan.layer, names)
                node.load(partial(_write, archive))
    if moved:
        node.remove(_outdated(moved, node))


def record(plans: Sequence[Plan]) -> dict[str, str]:
    """Writes `tags.json` and returns what is in it."""
    tags = {plan.image.key: plan.reference for plan in plans}
    paths.IMAGES.mkdir(parents=True, exist_ok=True)
    scratch = paths.TAGS.with_suffix(".new")
    scratch.write_text(json.dumps(tags, indent=2) + "\n")
    scratch.replace(paths.TAGS)
    return tags


def clean(plans: Sequence[Plan], node: Node | None) -> None:
    """Removes what the builder keeps, and from the node every image of ours that the sources do not name."""
    if node is not None:
        node.remove(_outdated(plans, node))
    with step("removing the builder's store"):
        builders.clean()


def plans() -> list[Plan]:
    """Every image of the project, as the sources are now."""
    return [plan(image) for image in IMAGES]


def _build(plan: Plan, builder: Builder) -> None:
    _check_space(plan.image)
    described = dockerfile.read(plan.image.dockerfile)
    arguments = {"BASE": base.ensure(builder, described.arguments["BASE"])}
    settings = host.read()
    with tempfile.TemporaryDirectory(prefix="finetune-images-") as folder:
        secret = Path(folder) / "host"
        secret.touch(mode=0o600)
        secret.write_text(settings.script())
        request = Build(
            plan.image.dockerfile,
            paths.REPOSITORY,
            plan.dependencies,
            target="deps",
            arguments=arguments,
            secret=secret,
            volumes=settings.volumes(),
        )
        with step(f"building {plan.dependencies}"):
            builder.build(request)


def _move(plan: Plan, builder: Builder, node: Node) -> None:
    name = on_node(plan.dependencies)
    with step(f"loading {plan.dependencies}"):
        node.load(lambda sink: builder.export(plan.dependencies, name, sink))
    with step("removing it from the builder"):
        builder.forget(plan.dependencies)


def _outdated(plans: Sequence[Plan], node: Node) -> list[str]:
    """Images of the same repositories that the plans do not name."""
    repositories = {on_node(plan.image.repository) for plan in plans}
    repositories |= {f"{repository}-deps" for repository in repositories}
    kept = {on_node(name) for plan in plans for name in (plan.reference, plan.newest, plan.dependencies)}
    return [name for name in node.images() if name.rpartition(":")[0] in repositories and name not in kept]


def _write(archive: bytes, sink: IO[bytes]) -> None:
    sink.write(archive)


def _check_space(image: Image) -> None:
    paths.IMAGES.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(paths.IMAGES).free / 1e9
    if free < image.build_space_gb:
        raise ImageError(
            f"{free:.0f} GB are free under {paths.IMAGES}; building {image.repository} takes up to "
            f"{image.build_space_gb} GB for a while. Free some, or set XDG_CACHE_HOME to a larger disk"
        )
