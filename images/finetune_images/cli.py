"""`python -m finetune_images`: build, load, status, clean."""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from finetune_images import lock, pipeline
from finetune_images import node as nodes
from finetune_images.errors import ImageError
from finetune_images.node import Node
from finetune_images.pipeline import on_node
from onenode.progress import say


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        with lock.exclusive() if chosen.exclusive else nullcontext():
            return int(chosen.run(chosen))
    except ImageError as error:
        say(f"images: {error}")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m finetune_images", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    build = commands.add_parser("build", help="build what neither the node nor the builder has")
    build.add_argument("--load", action="store_true", help="then load it")
    build.set_defaults(run=_build, exclusive=True)
    load = commands.add_parser("load", help="bring the images to the node, building what is missing")
    load.set_defaults(run=_load, exclusive=True)
    status = commands.add_parser("status", help="say what is there")
    status.set_defaults(run=_status, exclusive=False)
    clean = commands.add_parser("clean", help="remove the builder's store, and outdated images from the node")
    clean.set_defaults(run=_clean, exclusive=True)
    return parser


def _build(chosen: argparse.Namespace) -> int:
    if chosen.load:
        return _load(chosen)
    plans = pipeline.plans()
    pipeline.build(plans, nodes.find())
    _print(pipeline.record(plans))
    return 0


def _load(_: argparse.Namespace) -> int:
    plans = pipeline.plans()
    pipeline.load(plans, _node())
    _print(pipeline.record(plans))
    return 0


def _status(_: argparse.Namespace) -> int:
    node = nodes.find()
    present = node.images() if node is not None else {}
    where = "on the node" if node is not None else "node is down"
    for plan in pipeline.plans():
        for name in (plan.reference, plan.dependencies):
            print(f"{name:<45} {where if node is None or on_node(name) in present else 'missing'}")
    return 0


def _clean(_: argparse.Namespace) -> int:
    pipeline.clean(pipeline.plans(), nodes.find())
    return 0


def _node() -> Node:
    node = nodes.find()
    if node is None:
        raise ImageError(
            "there is no node to load images into. Start the cluster (make cluster-up), "
            "or its containerd alone (python -m onenode containerd)"
        )
    return node


def _print(tags: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(tags, indent=2) + "\n")
