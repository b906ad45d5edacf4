"""`finetune`: reads the verb, and hands over to the one file that knows it.

A verb's module is imported only when it is asked for, so that `--help` starts at once.
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

VERBS: Final = {
    "validate": "say what is wrong with manifests, before anything is paid for",
    "estimate": "say what a job needs: memory, time, money, energy",
    "hardware": "list the accelerators that estimates know",
    "models": "list the models that estimates know",
    "run": "train on this machine, without a cluster",
    "version": "print the version",
}

USAGE_ERROR: Final = 2


class Verb(Protocol):
    """What a module of `finetune_cli.commands` offers."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the verb's arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; return the exit status."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit status: 0 done, 2 usage, others as `finetune VERB --help` says."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = _parser(words)
    arguments = parser.parse_args(words)
    run: Callable[[argparse.Namespace], int] | None = getattr(arguments, "run", None)
    if run is None:
        parser.print_help(sys.stderr)
        return USAGE_ERROR
    try:
        return run(arguments)
    except BrokenPipeError:
        # The reader (`| head`) has gone; leave quietly, as other tools do.
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 130


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="finetune", description="Fine-tune language models, on this machine or on Kubernetes."
    )
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND")
    asked_for = next((word for word in words if not word.startswith("-")), None)
    for name, summary in VERBS.items():
        verb_parser = verbs.add_parser(
            name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name == asked_for:
            verb = cast("Verb", importlib.import_module(f"finetune_cli.commands.{name}"))
            verb_parser.description = verb.__doc__
            verb.configure(verb_parser)
            verb_parser.set_defaults(run=verb.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
