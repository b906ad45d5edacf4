"""List the models that estimates know: size, context in tokens, built-in chat template, licence.

Any other id of the Hugging Face hub, or a path, can be trained too; these are known in numbers. Those marked
with * are gated: accept the licence on the hub, and name a token in model.tokenSecret. -o json has the
architecture and the target modules too.

exit status: 0, 1 no model has that name
"""

import argparse
import sys

from finetune_cli import json_writer
from finetune_cli.arguments import add_table_or_json


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune models`."""
    parser.add_argument("text", nargs="?", default="", metavar="TEXT", help="only models with this in the id")
    add_table_or_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the catalog, or the part of it that was asked for."""
    from dataclasses import asdict

    from finetune_api.catalog import MODELS
    from finetune_cli.tables import table

    wanted = arguments.text.lower()
    chosen = [model for model in MODELS if any(wanted in id.lower() for id in (model.id, *model.aliases))]
    if not chosen:
        print(f"finetune models: no model of the catalog has {arguments.text!r} in its id.", file=sys.stderr)
        return 1
    if arguments.output == "json":
        entries = [
            asdict(model)
            | {"parameters": model.architecture.parameters, "target_modules": model.target_modules}
            for model in chosen
        ]
        print(json_writer.dump(json_writer.camel_case(entries)))
        return 0
    rows = [
        [
            model.id,
            _size(model.architecture.parameters),
            f"{model.architecture.context // 1024}k",
            model.chat_template or "-",
            model.licence + ("*" if model.gated else ""),
        ]
        for model in chosen
    ]
    print(table(["id", "size", "context", "chat", "licence"], rows))
    return 0


def _size(parameters: int) -> str:
    """As names of models have it: 135M, 1.24B."""
    return f"{parameters / 1e6:.0f}M" if parameters < 999.5e6 else f"{parameters / 1e9:.3g}B"
