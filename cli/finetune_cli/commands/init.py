"""Write a commented manifest to start from. On a terminal, asks for what the flags leave open.

A data set is `organisation/name` (hub), `/path` (in a mounted volume, or local), `pvc:CLAIM/FILE` or
`configmap:NAME/KEY`. Without --format, a file whose name says so is csv, and anything else alpaca.

exit status: 0 written, 1 the job would be invalid, 2 usage error, or the file is there already
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetune_cli.errors import INVALID, CommandError
from finetune_cli.files import new_file, put

if TYPE_CHECKING:
    from finetune_cli.suggestions import Suggestion

_QUESTIONS: Final = (
    ("name", "Name of the job", "my-job"),
    ("model", "Model: id on the Hugging Face hub, or /path", "HuggingFaceTB/SmolLM2-135M-Instruct"),
    ("dataset", "Data set: organisation/name, /path, pvc:CLAIM/FILE or configmap:NAME/KEY", "org/data"),
    ("format", "Format of its records: alpaca, messages, sharegpt, csv, …", "alpaca"),
)

_CSV: Final = (".csv", ".tsv")
_RECORDS: Final = (*_CSV, ".json", ".jsonl", ".ndjson", ".parquet")
"""How names of files with records end."""

_USUAL: Final = {
    "method": ("type",),
    "training": ("epochs", "learningRate", "microBatchSize", "maxSequenceLength"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune init`."""
    parser.add_argument("file", nargs="?", default="job.yaml", metavar="FILE", help="- prints (job.yaml)")
    parser.add_argument("--name", help="name of the job")
    parser.add_argument("--model", metavar="ID|/PATH", help="model on the hub, or a directory")
    parser.add_argument("--dataset", metavar="SOURCE", help="where the records come from")
    parser.add_argument("--format", metavar="FORMAT", help="format of the records")
    parser.add_argument("--preset", metavar="NAME", help="preset that the job starts from")
    parser.add_argument("--gpus", type=int, default=0, metavar="N", help="accelerators per node (0: CPU)")
    parser.add_argument(
        "--accelerator",
        metavar="NAME",
        help="device, as in `finetune hardware`: writes what suits it",
    )
    parser.add_argument("--force", action="store_true", help="overwrite FILE")


def run(arguments: argparse.Namespace) -> int:
    """Ask what is open, and write the file."""
    from finetune_cli.suggestions import suiting_values
    from finetune_cli.yaml_reader import YamlError

    target = new_file(arguments.file, force=arguments.force)
    answers = _answers(arguments)
    gpus = arguments.gpus or (1 if arguments.accelerator else 0)
    preset = _preset_values(arguments.preset)
    text = _manifest(answers, arguments.preset, gpus, preset)
    try:
        body = _prepared(text)
        if arguments.accelerator:
            suiting = suiting_values(body, arguments.accelerator)
            text = _manifest(answers, arguments.preset, gpus, preset, suiting)
            body = _prepared(text)
    except YamlError as error:
        raise CommandError(f"{error.problem}. {error.remedy}") from None
    _refuse_invalid(body)
    put(text, target)
    if target is not None:
        print(f"{target} is written. Next: finetune validate {target}", file=sys.stderr)
    return 0


def _answers(arguments: argparse.Namespace) -> dict[str, str]:
    answers: dict[str, str] = {}
    for name, question, default in _QUESTIONS:
        answer = getattr(arguments, name)
        if name == "format" and answer is None and arguments.preset:
            answer = ""
        if name == "format" and answers["dataset"].endswith(_CSV):
            default = "csv"
        if answer is None and sys.stdin is not None and sys.stdin.isatty():
            print(f"{question} [{default}]: ", end="", file=sys.stderr, flush=True)
            answer = sys.stdin.readline().strip() or default
        if answer is None and name in ("model", "dataset"):
            raise CommandError(f"--{name} is missing, and there is no terminal to ask on")
        answers[name] = default if answer is None else answer
    _refuse_relative(answers)
    return answers


def _refuse_relative(answers: Mapping[str, str]) -> None:
    """Refuse what is meant for a file here, and would be taken for a name of the hub."""
    for name in ("model", "dataset"):
        given = answers[name]
        is_record_file = name == "dataset" and given.endswith(_RECORDS) and ":" not in given
        if given.startswith((".", "~")) or (is_record_file and not given.startswith("/")):
            whole = Path(given).expanduser().absolute()
            raise CommandError(f"--{name} {given}: write the whole path, such as {whole}")


def _preset_values(name: str | None) -> Mapping[str, Any]:
    """The values of a built-in preset by section; none where there is none, which is refused later."""
    from finetune_api.presets import builtin_preset

    preset = builtin_preset(name) if name else None
    return preset.values if preset else {}


def _manifest(
    answers: Mapping[str, str],
    preset: str | None,
    gpus: int,
    preset_values: Mapping[str, Any],
    suiting: "Suggestion | None" = None,
) -> str:
    comment = _comments()
    model = "path" if answers["model"].startswith("/") else "id"
    lines = [
        "# A fine-tuning job. `finetune explain FIELD` says more about each field.",
        "apiVersion: finetune.dev/v1alpha1",
        "kind: FineTuneJob",
        "metadata:",
        f"  name: {_text(answers['name'])}",
        "spec:",
    ]
    if preset:
        lines += _field(2, "preset", _text(preset), comment["preset"])
    lines += ["  model:", *_field(4, model, _text(answers["model"]), comment[f"model.{model}"])]
    if suiting:
        lines += _field(4, "attention", str(suiting.values["model.attention"]), comment["model.attention"])
    lines += ["  dataset:"]
    if answers["format"]:
        lines += _field(4, "format", _text(answers["format"]), comment["dataset.format"])
    lines += ["    train:", *_source(answers["dataset"])]
    lines += _settings(suiting, preset_values)
    if gpus:
        lines += ["  resources:", "    accelerators:"]
        lines += _field(6, "perNode", str(gpus), comment["resources.accelerators.perNode"])
        if suiting:
            lines += _field(6, "type", suiting.accelerator, comment["resources.accelerators.type"])
    return "\n".join(lines) + "\n"


def _comments() -> dict[str, str]:
    """What each field means, by its path."""
    from finetune_cli.fields import all_fields

    return {path: field.description for path, field in all_fields().items()}


def _settings(suiting: "Suggestion | None", preset: Mapping[str, Any]) -> list[str]:
    """Sections of settings: what suits the accelerator, and what is changed most, commented out."""
    from finetune_cli.fields import all_fields, shown

    comment = _comments()
    written = suiting.sections() if suiting else {}
    lines = [f"  # {suiting.text}"] if suiting else []
    source = "preset's value, or the default" if preset else "default"
    lines += [f"  # What is commented out is usual to change; each such line shows the {source}."]
    for section in dict.fromkeys([*written, *_USUAL]):
        values = written.get(section, {})
        # A section without a value is commented out as a whole: with no fields, it would be null.
        lines += [f"  {section}:" if values else f"  # {section}:"]
        for name, value in values.items():
            lines += _field(4, name, value, comment[f"{section}.{name}"])
        for name in _USUAL.get(section, ()):
            if name not in values:
                field, given = all_fields()[f"{section}.{name}"], preset.get(section, {})
                value = shown(given[name]) if name in given else str(field.default)
                lines += [f"  # {line}" for line in _field(2, name, value, field.description)]
    return lines


def _field(indent: int, name: str, value: str, description: str) -> list[str]:
    import textwrap

    space = " " * indent
    wrapped = textwrap.wrap(description, 96 - indent)
    return [*(f"{space}# {line}" for line in wrapped), f"{space}{name}: {value}"]


def _source(source: str) -> list[str]:
    kind, colon, rest = source.partition(":")
    holder, _, name = rest.partition("/")
    if colon and kind in ("pvc", "configmap") and not (holder and name):
        raise CommandError(f"--dataset {source}: write {kind}:NAME/{'FILE' if kind == 'pvc' else 'KEY'}")
    if colon and kind == "pvc":
        return [f"      pvc: {{claimName: {_text(holder)}, path: {_text(name)}}}"]
    if colon and kind == "configmap":
        return [f"      configMap: {{name: {_text(holder)}, key: {_text(name)}}}"]
    if source.startswith("/"):
        return [f"      path: {_text(source)}"]
    return [f"      hub: {{id: {_text(source)}}}"]


def _text(value: str) -> str:
    """Return the value as YAML that is read as that very text."""
    import json

    from finetune_cli.yaml_reader import YamlError, parse_scalar

    try:
        return value if value and parse_scalar(f"[{value}]") == [value] else json.dumps(value)
    except YamlError:
        return json.dumps(value)


def _prepared(text: str) -> Mapping[str, Any]:
    """The job in the manifest, with its preset filled in. Raises `YamlError`."""
    from finetune_cli.manifests import JobDocument
    from finetune_cli.preparation import prepare
    from finetune_cli.yaml_reader import parse

    return prepare(JobDocument(parse(text.encode(errors="surrogateescape"))[0]), {}, ()).body


def _refuse_invalid(body: Mapping[str, Any]) -> None:
    from finetune_api.validation import check_manifest, errors_in

    findings = check_manifest(body)[1]
    for finding in findings:
        print(f"{finding.severity}: {finding}", file=sys.stderr)
    if errors_in(findings):
        raise CommandError("nothing is written: the job would be invalid", INVALID)
