"""List the models that estimates know, with their sizes, licences and target modules.

Any other id of the Hugging Face hub, or a path, can be trained too; these are known in numbers.

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
        print(json_writer.dump(entries))
        return 0
    rows = [
        [
            model.id,
            f"{model.architecture.parameters / 1e9:.2f} B",
            str(model.architecture.layers),
            str(model.architecture.hidden),
            str(model.architecture.context),
            model.licence + (", gated" if model.gated else ""),
            model.chat_template or "-",
        ]
        for model in chosen
    ]
    print(table(["id", "parameters", "layers", "width", "context", "licence", "chat template"], rows))
    return 0
