"""From a file or a command line of another program to a manifest, and a line for each of its keys."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finetune_cli.errors import INVALID, CommandError
from finetune_cli.foreign import (
    axolotl,
    dataset_info,
    deepspeed_file,
    engine,
    framework,
    llamafactory,
    llamafarm,
    trl,
    wizard,
)
from finetune_cli.foreign.programs import DOCUMENTS, FORMATS, program_of
from finetune_cli.foreign.reading import Line, Reading, read, with_defaults
from finetune_cli.foreign.rules import Mapped, Read, Rule, Table
from finetune_cli.foreign.schedules import settled
from finetune_cli.manifests import content_of, label_of
from finetune_cli.yaml_reader import YamlError, parse, parse_scalar, read_bytes


def import_job(
    source: str, options: Sequence[str], kind: str | None, name: str
) -> tuple[dict[str, Any], Reading]:
    """Return the manifest, and what became of each key.

    `source` is a file, or the first word of a TRL command; `options` are the words after it: dotted options
    that override keys of the file, or the rest of the command. Raises `CommandError`.
    """
    if kind == trl.NAME and not _is_yaml(source):
        reading = settled(_trl_command(source, list(options)))
    else:
        reading = settled(_document(_overridden(_load(source), options), kind, Path(source).parent))
    manifest = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name},
        "spec": reading.spec,
    }
    return manifest, reading


def _load(source: str) -> dict[str, Any]:
    try:
        first, *others = parse(content_of(source))
    except YamlError as error:
        raise CommandError(error.about(label_of(source)), INVALID) from None
    if others:
        raise CommandError(
            f"{label_of(source)}: {others[0].position}: a second document begins, and a configuration is one "
            "document. Import each from a file of its own.",
            INVALID,
        )
    document = first.value
    if not isinstance(document, dict):
        raise CommandError(f"{label_of(source)}: a configuration is a mapping of keys to values", INVALID)
    return document


def _document(document: dict[str, Any], kind: str | None, beside: Path) -> Reading:
    name = kind or program_of(document)
    module = next((known for known in DOCUMENTS if name == known.NAME), None)
    if module is None and document.get("kind") == "FineTuneJob":
        raise CommandError("this is a FineTuneJob already; `finetune validate` checks it")
    if module is None:
        raise CommandError(f"the format is not recognised: name it with --from {'|'.join(FORMATS)}")
    if module is llamafarm:
        return _llamafarm(document)
    if module is wizard:
        return read(document, wizard.table(document))
    if module is llamafactory:
        for key, said in dataset_info.entries(document, beside).items():
            document = {other: value for other, value in document.items() if other != key} | said
    table = _with_files(framework.table(document) if module is framework else module.TABLE, beside)
    if module is trl:
        return _trl(document, table)
    reading = read(document, table)
    if module is llamafactory or module is axolotl:
        return _on_gpus(with_defaults(reading, document, table, module.defaults(document)), document)
    if module is framework:
        return _on_gpus(framework.of_the_method(reading), document)
    if module is engine:
        return Reading(_under(reading.spec, engine.IMPLIED), reading.lines)
    return reading


def _llamafarm(document: dict[str, Any]) -> Reading:
    found = llamafarm.block(document)
    if found is None:
        raise CommandError("there is no fine_tuner in it, which is what a job is made of", INVALID)
    prefix, fine_tuner = found
    return read(document, llamafarm.table(fine_tuner), within=prefix)


def _is_yaml(source: str) -> bool:
    """Whether it is a file of keys and values, which `trl sft --config` reads, and no command line."""
    if not Path(source).is_file():
        return False
    try:
        return isinstance(parse(read_bytes(Path(source)))[0].value, dict)
    except YamlError:
        return False


def _trl_command(source: str, options: list[str]) -> Reading:
    words = [source, *options]
    try:
        if not options and Path(source).is_file():
            text = read_bytes(Path(source)).decode(errors="replace")
            words = shlex.split(text.replace("\\\n", " "), comments=True)
        document = trl.parse(words)
    except YamlError as error:
        raise CommandError(error.about(source)) from None
    except ValueError as error:
        raise CommandError(f"not a command line of TRL: {error}") from None
    table = _with_files(trl.TABLE, Path())
    if Path(str(document.get("config", ""))).is_file():
        table |= {"config": Read(lambda _: Mapped({}, "its keys are read too"))}
        document = _load(str(document["config"])) | document
    return _trl(document, table)


def _trl(document: dict[str, Any], table: Table) -> Reading:
    return _on_gpus(with_defaults(read(document, table), document, table, trl.defaults(document)), document)


def _with_files(table: Table, beside: Path) -> dict[str, Rule]:
    """The table with the files that the configuration may name: beside it, or where the user stands."""
    rule = deepspeed_file.rule(beside, Path())
    return {**table, **{key: rule for key in deepspeed_file.KEYS if key in table}}


def _on_gpus(reading: Reading, document: Mapping[str, Any]) -> Reading:
    """Ask for a GPU, as a job has to: these programs take those of the machine that they are started on."""
    if document.get("use_cpu"):
        return reading
    note = "not in the file: they are the machine's there; say how many a node has"
    line = Line("GPUs", 1, ("resources.accelerators.perNode",), True, note)
    return Reading({**reading.spec, "resources": {"accelerators": {"perNode": 1}}}, (*reading.lines, line))


def _overridden(document: dict[str, Any], options: Sequence[str]) -> dict[str, Any]:
    """Return the document with dotted options: `--model.base_model VALUE` or `--model.base_model=VALUE`."""
    words = list(options)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise CommandError(
                f"{word}: write --key VALUE, with the file's own keys, as in --training.epochs 1"
            )
        key, equals, text = word[2:].partition("=")
        if not equals:
            if not words:
                raise CommandError(f"{word}: its value is missing")
            text = words.pop(0)
        try:
            value = parse_scalar(text)
        except YamlError as error:
            raise CommandError(f"{word}: {error}; {error.remedy}") from None
        *parents, last = key.split(".")
        section = document
        for parent in parents:
            inner = section.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise CommandError(f"{word}: {parent} has no keys of its own")
            section = inner
        section[last] = value
    return document


def _under(spec: Mapping[str, Any], implied: Mapping[str, Any]) -> dict[str, Any]:
    from finetune_api.presets import resolve

    return resolve(implied, spec).spec
