"""Print the version of this program and of the API that it speaks."""

import argparse
from importlib.metadata import PackageNotFoundError, version


def configure(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(_: argparse.Namespace) -> int:
    """Print one line."""
    from finetune_api.base import API_VERSION

    try:
        number = version("finetune-operator")
    except PackageNotFoundError:
        number = "from a source tree"
    print(f"finetune {number}, API {API_VERSION}")
    return 0
