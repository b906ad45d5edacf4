"""Turn another program's configuration into a job, and report for every key what became of it.

  wizard        what the wizard's form sends, in JSON
  framework     the YAML framework (model, fine_tuning, training, …)
  llamafarm     a LlamaFarm strategy, PyTorch or LlamaFactory
  engine        the training engine's TrainingConfig
  llamafactory  LLaMA-Factory's YAML
  axolotl       Axolotl's YAML
  trl           the YAML that TRL's --config takes (other stages than sft:
                --command dpo), or a whole command line:
                finetune import --from trl trl sft --model_name_or_path …

Options after FILE override keys of the file: finetune import config.yaml --model.base_model org/model. The
manifest goes to standard output or -o; the report on the keys, and the validator's findings about the
result, to standard error. Files that it names (dataset_info.json, DeepSpeed's JSON) are read if they are
there. The framework, LLaMA-Factory, Axolotl and TRL use whatever GPUs their machine has: the job asks for one
per node.

exit status: 0 imported, 1 the configuration can't be read, 2 usage error
"""

import argparse
import sys
from pathlib import Path

from finetune_cli import json_writer
from finetune_cli.files import new_file, put


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune import`."""
    _add_own(parser)
    parser.add_argument(
        "file", metavar="FILE", help="configuration, - for standard input, or a TRL command's first word"
    )
    parser.add_argument("options", nargs=argparse.REMAINDER, metavar="--KEY VALUE", help="overrides of keys")


def _add_own(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from",
        dest="kind",
        choices=("wizard", "framework", "llamafarm", "engine", "llamafactory", "axolotl", "trl"),
        help="format; recognised when absent",
    )
    parser.add_argument("--name", default="imported", help="name of the job")
    parser.add_argument(
        "-o", "--output", metavar="MANIFEST", help="file to write; standard output when absent"
    )
    parser.add_argument("--force", action="store_true", help="overwrite MANIFEST")
    parser.add_argument(
        "--report", choices=("lines", "json"), default="lines", help="form of the account of the keys"
    )


def run(arguments: argparse.Namespace) -> int:
    """Import, write, and give the account."""
    from finetune_cli.foreign.importing import import_job
    from finetune_cli.yaml_writer import dump

    if arguments.kind != "trl" or Path(arguments.file).is_file():
        # All that follows FILE is taken for overrides of its keys; a TRL command has options of its own.
        own = argparse.ArgumentParser(prog="finetune import", add_help=False, allow_abbrev=False)
        _add_own(own)
        _, arguments.options = own.parse_known_args(arguments.options, arguments)
    target = new_file(arguments.output, force=arguments.force)
    manifest, reading = import_job(arguments.file, arguments.options, arguments.kind, arguments.name)
    if arguments.report == "json":
        account = [
            {
                "key": line.key,
                "value": line.shown,
                "mapped": line.mapped,
                "paths": line.paths,
                "note": line.note,
            }
            for line in reading.lines
        ]
        print(json_writer.dump(account), file=sys.stderr)
    else:
        for line in reading.lines:
            print(line, file=sys.stderr)
        _print_findings(manifest)
    put(dump(manifest), target)
    return 0


def _print_findings(manifest: dict[str, object]) -> None:
    from finetune_api.validation import check_manifest

    for finding in check_manifest(manifest)[1]:
        print(f"{finding.severity}: {finding}", file=sys.stderr)
