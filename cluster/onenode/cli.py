"""The command line: `python -m onenode VERB`."""

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence

from onenode import addons, binaries, cgroups, cleanup, cluster, debian, kind, kubeconfig, network, throwaway
from onenode.daemons import DaemonError
from onenode.progress import say

_FAILURES = (
    addons.KubectlError,
    binaries.BuildError,
    cgroups.CgroupError,
    cleanup.CleanupError,
    cluster.ClusterError,
    DaemonError,
    debian.PackageError,
    kind.KindError,
    network.NetworkError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb and returns the exit status: 0 done, 1 failed or not ready, 2 usage."""
    options = _parser().parse_args(arguments)
    try:
        status: int | None = options.run(options)
    except _FAILURES as failure:
        say(f"onenode: {failure}")
        return 1
    except subprocess.CalledProcessError as failure:
        say(f"onenode: {failure}\n{failure.stderr or ''}")
        return 1
    except BrokenPipeError:
        # Whoever read the output has seen enough.
        return 0
    except OSError as failure:
        # No space left, say: nothing that a traceback would explain better.
        say(f"onenode: {failure}")
        return 1
    except KeyboardInterrupt:
        say("onenode: interrupted. `up` continues from here, `down` removes what there is.")
        return 1
    return status or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m onenode", description="A real one-node Kubernetes.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(
        name: str, help: str, run: Callable[[argparse.Namespace], int | None]
    ) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=help, description=help)
        added.set_defaults(run=run)
        return added

    provider = kind if kind.is_preferred() else cluster
    verb("up", "start the cluster, or what of it does not run", lambda _: provider.up())
    verb("down", "end the cluster and remove every trace of it but caches", lambda _: provider.down())
    verb("status", "say what runs; exit status 0 if the cluster is ready", lambda _: provider.status())
    verb(
        "env",
        "print the shell lines that point kubectl and helm here",
        lambda _: print(kubeconfig.shell_environment()),
    )
    verb("containerd", "start containerd alone, to import images into it", lambda _: cluster.containerd())
    verb("shell", "open a shell inside the node, to look around", lambda _: cluster.shell())
    build = verb(
        "build",
        "build the pinned Go modules, or those named (a program will do)",
        lambda options: binaries.build(options.modules),
    )
    build.add_argument("modules", nargs="*", metavar="MODULE")
    control_plane = verb(
        "control-plane",
        "run a control plane without nodes until Ctrl-C",
        lambda options: throwaway.supervise(options.lifeline),
    )
    control_plane.add_argument(
        "--lifeline", type=int, metavar="FD", help="stop at the end of this file descriptor"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
