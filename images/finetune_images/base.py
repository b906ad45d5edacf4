"""The Debian image under ours: pulled where a registry can be reached, else made from Debian's packages."""

import os
import subprocess
import tempfile
from pathlib import Path

from finetune_images import host, paths
from finetune_images.builders import Builder, install
from finetune_images.errors import ImageError
from onenode.progress import say, step

OVERRIDE = "FINETUNE_BASE_IMAGE"
"""Environment variable that names another base image, for instance that of a mirror."""

BOOTSTRAPPED = f"localhost/finetune-base:{host.BASE_CODENAME}"

_LEFT_OUT = ("doc", "info", "locale", "man")


def ensure(builder: Builder, reference: str) -> str:
    """The name of a base image in the builder's store: `reference`, or one made here in its likeness.

    Raises:
        ImageError: it can neither be pulled nor made.
    """
    wanted = os.environ.get(OVERRIDE) or reference
    if builder.has_base(wanted):
        return wanted
    if wanted == reference and builder.has_base(BOOTSTRAPPED):
        return BOOTSTRAPPED
    with step(f"pulling {wanted}"):
        pulled = builder.pull(wanted)
    if pulled:
        return wanted
    if wanted != reference:
        raise ImageError(
            f"{OVERRIDE}={wanted}: {builder.name} cannot pull it. Unset it, or name one that it can"
        )
    say(f"  {wanted} cannot be pulled: making a base image from Debian's packages")
    _bootstrap(builder)
    return BOOTSTRAPPED


def _bootstrap(builder: Builder) -> None:
    install("mmdebstrap", "mmdebstrap")
    paths.SCRATCH.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=paths.SCRATCH, prefix="base-") as folder:
        archive = Path(folder) / "base.tar"
        command = ["mmdebstrap", "--quiet", "--variant=apt", '--aptopt=Acquire::Languages "none"']
        command += [f"--dpkgopt=path-exclude=/usr/share/{left_out}/*" for left_out in _LEFT_OUT]
        sources = host.apt_sources()
        if sources is not None:
            # Where this machine gets its packages is nothing to put into an image; builds bring it along.
            command.append('--customize-hook=rm "$1/etc/apt/sources.list"')
        command += [host.BASE_CODENAME, str(archive), *(["-"] if sources else [])]
        with step("bootstrapping Debian"):
            done = subprocess.run(
                command, input=sources or "", text=True, stderr=subprocess.PIPE, check=False
            )
        if done.returncode != 0:
            raise ImageError(f"mmdebstrap cannot make a base image:\n{done.stderr.strip()}")
        with step("adding it to the store"):
            builder.import_base(archive, BOOTSTRAPPED)
