"""What the integration tests share: a real control plane, started once for all of them."""

from collections.abc import Iterator

import pytest

from onenode import ControlPlane
from onenode.binaries import build


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """etcd, API server, controllers and scheduler, without nodes.

    `.kubeconfig` is the administrator's file; `.kubectl(*arguments, input=None)` runs kubectl and returns its
    output. All tests of a session share it: work in a namespace of your own.
    """
    build(["kubernetes"])
    with ControlPlane() as running:
        yield running
