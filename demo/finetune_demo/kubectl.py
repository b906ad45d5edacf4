"""kubectl and helm, pointed at one cluster and at no other."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Manifest = dict[str, Any]


class ClusterError(RuntimeError):
    """A command on the cluster failed; the text is what it said."""


@dataclass(frozen=True)
class Cluster:
    """The cluster of one kubeconfig; `binaries` is the folder of kubectl and helm."""

    kubeconfig: Path
    binaries: Path

    def kubectl(self, *arguments: str, manifest: Manifest | None = None) -> str:
        """Run kubectl and return its output; `manifest` goes to its standard input. Raises `ClusterError`."""
        return self._run("kubectl", arguments, None if manifest is None else json.dumps(manifest))

    def helm(self, *arguments: str) -> str:
        """Run helm and return its output. Raises `ClusterError`."""
        return self._run("helm", arguments, None)

    def get(self, kind: str, name: str, namespace: str) -> Manifest | None:
        """Return one object, or None if it is not there."""
        text = self.kubectl(
            "get", kind, name, f"--namespace={namespace}", "--ignore-not-found", "--output=json"
        )
        found: Manifest | None = json.loads(text) if text.strip() else None
        return found

    def _run(self, program: str, arguments: Sequence[str], text: str | None) -> str:
        command = [str(self.binaries / program), *arguments]
        environment: Mapping[str, str] = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        ended = subprocess.run(
            command, input=text, env=environment, capture_output=True, text=True, check=False
        )
        if ended.returncode != 0:
            raise ClusterError(f"{program} {' '.join(arguments)}: {ended.stderr.strip()}")
        return ended.stdout
