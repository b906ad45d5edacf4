"""Policy: what a training pod may do: no more than Pod Security's `restricted` profile allows."""

from __future__ import annotations

from finetune_operator.plan import Manifest

# The images' numeric user. Volumes are handed to its group, so that a fresh volume can be written to.
USER = 1000


def pod_security_context() -> Manifest:
    """The pod's half. Ownership of a volume's files is changed only when its root does not fit, for speed."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security_context() -> Manifest:
    """The container's half; what has to be written goes to the mounted volumes."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
    }
