"""What every Dockerfile of the project keeps to, checked without building one."""

import re

import pytest

from finetune_images import content, dockerfile, paths
from finetune_images.catalogue import IMAGES, Image
from finetune_images.dockerfile import Instruction

every_image = pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.key)

DOWNLOADS = re.compile(r"apt-get (update|install)|pip install|uv pip install")


def steps(image: Image, keyword: str) -> list[Instruction]:
    stages = dockerfile.read(image.dockerfile).stages
    return [step for stage in stages for step in stage.instructions if step.keyword == keyword]


@every_image
def test_the_base_is_an_argument_with_a_pinned_release_as_default(image: Image) -> None:
    described = dockerfile.read(image.dockerfile)
    assert re.search(r":\d+\.\d+-slim$", described.arguments["BASE"])
    named = {stage.name for stage in described.stages}
    assert {stage.base for stage in described.stages} - named == {"${BASE}", "scratch"}


@every_image
def test_the_image_is_its_dependencies_with_our_code_on_top(image: Image) -> None:
    last = dockerfile.read(image.dockerfile).stages[-1]
    assert last.base == "deps"
    assert [(step.keyword, step.arguments) for step in last.instructions] == [("COPY", "--from=code / /")]


@every_image
def test_whatever_downloads_may_use_the_hosts_settings_and_keeps_none_of_them(image: Image) -> None:
    downloads = [step for step in steps(image, "RUN") if DOWNLOADS.search(step.arguments)]
    assert len(downloads) >= 2
    for step in downloads:
        assert {"type": "secret", "id": "host"} in step.mounts()
        assert {"type": "tmpfs", "target": "/run/host"} in step.mounts()


@every_image
def test_every_python_package_is_installed_by_its_hash(image: Image) -> None:
    for step in steps(image, "RUN"):
        installed = len(re.findall(r"pip install", step.arguments))
        assert installed == step.arguments.count("--require-hashes")


@every_image
def test_it_runs_as_a_numeric_user_that_is_not_root(image: Image) -> None:
    assert [step.arguments for step in steps(image, "USER")] == ["1000:1000"]


@every_image
def test_labels_say_what_it_is(image: Image) -> None:
    labels = " ".join(step.arguments for step in steps(image, "LABEL"))
    for name in ("title", "description", "licenses", "vendor"):
        assert f"org.opencontainers.image.{name}=" in labels


@every_image
def test_our_code_is_all_that_the_last_layer_holds(image: Image) -> None:
    code = dockerfile.read(image.dockerfile).stage("code")
    assert all("/finetune_" in path for path in code.context_paths())
    assert len(content.code_layer(code, paths.REPOSITORY)) < 5_000_000


@every_image
def test_the_layer_of_our_code_is_compatible_with_what_docker_leaves_out(image: Image) -> None:
    ignored = (paths.REPOSITORY / ".dockerignore").read_text().split()
    assert {"**/__pycache__", "**/.*"} <= set(ignored)
