from pathlib import Path

import pytest

from finetune_images.errors import ImageError
from finetune_images.node import Node

LISTED = """REF TYPE DIGEST SIZE PLATFORMS LABELS
docker.io/library/app:1 manifest sha256:aaa 1.0 MiB linux/amd64 -
docker.io/library/app:2 manifest sha256:bbb 1.0 MiB linux/amd64 -
docker.io/library/app:dev manifest sha256:bbb 1.0 MiB linux/amd64 -
sha256:config-of-1 manifest sha256:aaa 1.0 MiB linux/amd64 -
sha256:config-of-2 manifest sha256:bbb 1.0 MiB linux/amd64 -
"""


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return tmp_path / "calls"


@pytest.fixture
def node(tmp_path: Path, calls: Path) -> Node:
    """A node whose `ctr` lists two images, writes down what else it is told, and refuses an empty archive."""
    ctr = tmp_path / "ctr"
    (tmp_path / "listed").write_text(LISTED)
    ctr.write_text(
        f"""#!/bin/sh
case "$2" in
ls) cat {tmp_path}/listed ;;
import) [ "$(wc -c)" -gt 0 ] || {{ echo "no archive"; exit 1; }} ;;
*) echo "$@" >>{calls} ;;
esac
"""
    )
    ctr.chmod(0o755)
    return Node([str(ctr)])


def test_images_are_known_by_name_with_their_digests(node: Node) -> None:
    assert node.images()["docker.io/library/app:1"] == "sha256:aaa"


def test_an_image_goes_with_the_second_name_that_kubelet_gave_it(node: Node, calls: Path) -> None:
    node.remove(["docker.io/library/app:1"])
    assert calls.read_text() == "images rm --sync docker.io/library/app:1 sha256:config-of-1\n"


def test_the_second_name_stays_while_another_tag_names_the_image(node: Node, calls: Path) -> None:
    node.remove(["docker.io/library/app:2"])
    assert calls.read_text().split()[3:] == ["docker.io/library/app:2"]


def test_removing_nothing_asks_nothing(node: Node, calls: Path) -> None:
    node.remove([])
    assert not calls.exists()


def test_what_containerd_says_of_a_refused_archive_is_the_error(node: Node) -> None:
    with pytest.raises(ImageError, match="no archive"):
        node.load(lambda sink: sink.flush())
