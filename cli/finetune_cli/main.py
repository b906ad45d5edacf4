"""`finetune`: reads the verb, and hands over to the one file that knows it.

A verb's module is imported only when it is asked for, so that `--help` starts at once.
"""

import argparse
import gc
import importlib
import keyword
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, cast

from finetune_cli.errors import INVALID, USAGE, CommandError
from finetune_cli.tables import paragraphs
from finetune_cli.terminal import stop_writing, write_utf8

VERBS: Final = {
    "init": "write a commented manifest to start from",
    "validate": "check manifests before anything is paid for",
    "explain": "explain a field, and show the value that a job has there",
    "compare": "show how two jobs differ, and what that means",
    "presets": "list the built-in presets, or show one",
    "import": "turn another program's configuration into a job",
    "export": "write a job as another program's configuration",
    "data": "check, preview or split training data before a run",
    "estimate": "estimate what a job needs: memory, time, money, energy",
    "hardware": "list the accelerators that estimates know",
    "models": "list the models that estimates know",
    "run": "train on this machine, without a cluster",
    "generate": "answer prompts with a model or an adapter",
    "submit": "send jobs to the cluster",
    "list": "list the jobs of a namespace",
    "get": "show jobs by name",
    "describe": "describe a job: conditions, attempts, checkpoints, events",
    "watch": "follow a job until it has ended",
    "logs": "print the logs of a job's pods",
    "suspend": "pause a job; its ranks save a checkpoint",
    "resume": "continue a suspended job",
    "cancel": "end a job for good, keeping what it has saved",
    "delete": "delete a job; its volumes stay",
    "completion": "print the completion script of a shell",
    "version": "print the version",
}
"""Each verb is a module of `finetune_cli.commands` (`import` is in `import_.py`)."""

_OTHER_WORDS: Final = {
    "train": "run",
    "start": "run",
    "apply": "submit",
    "create": "init",
    "convert": "import",
    "chat": "generate",
    "status": "get",
    "stop": "suspend",
}
"""What other programs call a verb of ours."""

EXIT_STATUSES: Final = """\
exit status: 0 done or valid, 1 failed or invalid, 2 usage error, 130 interrupted;
`finetune run` has more, see `finetune run --help`.
NO_COLOR in the environment turns colours off."""


class Verb(Protocol):
    """What a module of `finetune_cli.commands` offers."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the verb's arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; return the exit status. Raises `CommandError`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit status: 0 done, 2 usage, others as `finetune VERB --help` says."""
    write_utf8()
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    finally:
        if argv is None:
            # The program ends: Python would walk all objects once more, which may take longer than the verb.
            gc.freeze()


def _run(words: Sequence[str]) -> int:
    if "--version" in words[:1]:
        words = ["version"]
    verb = next((word for word in words if not word.startswith("-")), "")
    if verb and verb not in VERBS:
        print(_unknown(verb), file=sys.stderr)
        return USAGE
    parser = parser_for(verb)
    arguments, unknown = parser.parse_known_args(words)
    if unknown:
        # Said by the verb's parser, with its usage: argparse would show that of the whole program.
        parsers_in(parser).get(verb, parser).error(f"unrecognized arguments: {' '.join(unknown)}")
    run: Callable[[argparse.Namespace], int] | None = getattr(arguments, "run", None)
    if run is None:
        parser.print_help(sys.stderr)
        return USAGE
    try:
        status = run(arguments)
        sys.stdout.flush()
    except CommandError as error:
        from finetune_api.printable import printable_lines

        print(printable_lines(f"finetune {verb}: {error}"), file=sys.stderr)
        return error.status
    except BrokenPipeError:
        # The reader (`| head`) has gone; leave quietly, as other tools do.
        stop_writing()
        return 0
    except OSError as error:
        where = error.filename or "the output can't be written"
        print(f"finetune {verb}: {where}: {error.strerror}", file=sys.stderr)
        stop_writing()
        return INVALID
    except KeyboardInterrupt:
        return 130
    return status


def _unknown(verb: str) -> str:
    """What to say of a word that is no verb."""
    import difflib

    from finetune_api.printable import printable

    near = difflib.get_close_matches(verb, [*VERBS, *_OTHER_WORDS], n=1)
    meant = _OTHER_WORDS.get(near[0], near[0]) if near else ""
    hint = f"Did you mean `finetune {meant}`?" if meant else "`finetune --help` lists them."
    return f"finetune: there is no command {printable(verb)}. {hint}"


def parser_for(*known: str) -> argparse.ArgumentParser:
    """Return the parser, in which only the verbs of `known` have their arguments."""
    parser = argparse.ArgumentParser(
        prog="finetune",
        description="Fine-tune language models, on this machine or on Kubernetes.",
        epilog=EXIT_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", prog=parser.prog)
    for name, summary in VERBS.items():
        verb_parser = verbs.add_parser(
            name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name in known:
            verb = verb_named(name)
            verb_parser.description = paragraphs(verb.__doc__ or "")
            verb.configure(verb_parser)
            verb_parser.set_defaults(run=verb.run)
    return parser


def parsers_in(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """Return the parser of each verb in the whole parser."""
    verbs = next(action for action in parser._actions if isinstance(action.choices, dict))
    return cast("Mapping[str, argparse.ArgumentParser]", verbs.choices)


def verb_named(name: str) -> Verb:
    """Import a verb's module."""
    suffix = "_" if keyword.iskeyword(name) else ""
    return cast("Verb", importlib.import_module(f"finetune_cli.commands.{name}{suffix}"))


if __name__ == "__main__":
    sys.exit(main())
