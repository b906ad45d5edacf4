"""Arguments that several verbs share."""

import argparse


def add_set(parser: argparse.ArgumentParser) -> None:
    """Add `--set PATH=VALUE`, which every verb that takes a manifest has."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        dest="overrides",
        help="override a field of the spec, such as training.learningRate=1e-4; null removes a field, "
        "trackers[0].type=wandb also adds the first element, and a key with dots is quoted: "
        'resources.nodeSelector."kubernetes.io/arch"=amd64; may be repeated',
    )


def add_job(parser: argparse.ArgumentParser) -> None:
    """Add `--job NAME`, for files that hold several jobs."""
    parser.add_argument("--job", metavar="NAME", help="which job, where the file holds several")


def add_table_or_json(parser: argparse.ArgumentParser) -> None:
    """Add `-o` of the verbs that print a table for people, or the same as JSON."""
    parser.add_argument(
        "-o", "--output", choices=("table", "json"), default="table", help="lines for people, or JSON"
    )


def add_hardware(parser: argparse.ArgumentParser) -> None:
    """Add --hardware-file (and its older name): an administrator's list over the catalog."""
    parser.add_argument(
        "--hardware-file",
        "--hardware",
        dest="hardware",
        metavar="FILE",
        help="prices, carbon and devices of your own, as YAML",
    )
