"""A real one-node Kubernetes for development and tests, from pinned Go modules and Debian packages.

`python -m onenode up` starts it, `python -m onenode down` leaves nothing of it behind. `ControlPlane` starts
etcd, the API server, the controllers and the scheduler alone, for tests that need no node.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onenode.throwaway import ControlPlane, ControlPlaneError

__all__ = ["ControlPlane", "ControlPlaneError"]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562).

    `scripts/prepare` builds the cluster's programs with a bare Python, before PyYAML is there.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from onenode import throwaway

    found: object = getattr(throwaway, name)
    return found
