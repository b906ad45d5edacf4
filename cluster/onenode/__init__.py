"""A real one-node Kubernetes for development and tests, from pinned Go modules and Debian packages.

`python -m onenode up` starts it, `python -m onenode down` leaves nothing of it behind. `ControlPlane` starts
etcd, the API server, the controllers and the scheduler alone, for tests that need no node.
"""

from onenode.throwaway import ControlPlane, ControlPlaneError

__all__ = ["ControlPlane", "ControlPlaneError"]
