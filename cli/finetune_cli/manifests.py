"""The objects in a manifest file: FineTuneJobs, the FineTunePresets and the ConfigMaps that they use."""

import difflib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from finetune_api.validation.codes import Code, FileCode
from finetune_cli.errors import CommandError
from finetune_cli.yaml_reader import Position, YamlDocument, YamlError, parse, read_bytes, read_stream

STANDARD_INPUT: Final = "-"
JOB_KIND: Final = "FineTuneJob"
PRESET_KIND: Final = "FineTunePreset"
OUR_KINDS: Final = (JOB_KIND, PRESET_KIND)
OUR_GROUP: Final = "finetune.dev"


@dataclass(frozen=True)
class JobDocument:
    """One FineTuneJob as it is written; nothing is checked yet but its kind."""

    document: YamlDocument

    @property
    def body(self) -> Mapping[str, Any]:
        """The object, in plain Python types."""
        body: Mapping[str, Any] = self.document.value
        return body

    @property
    def name(self) -> str:
        """`metadata.name`, or an empty string where it is missing or no text."""
        metadata = self.body.get("metadata")
        name = metadata.get("name") if isinstance(metadata, Mapping) else None
        return name if isinstance(name, str) else ""


@dataclass(frozen=True)
class PresetDocument:
    """A FineTunePreset of the user's own."""

    name: str
    values: Mapping[str, Any]
    document: YamlDocument

    @property
    def body(self) -> Mapping[str, Any]:
        """The object, in plain Python types."""
        body: Mapping[str, Any] = self.document.value
        return body


@dataclass(frozen=True)
class ManifestFile:
    """What a file holds. Objects of other kinds are left to the cluster."""

    label: str
    jobs: tuple[JobDocument, ...]
    config_maps: Mapping[str, Mapping[str, str]]
    presets: Mapping[str, PresetDocument] = field(default_factory=dict)


def content_of(source: str) -> bytes:
    """Return what stands in a file, or on standard input for `-`. Raises `YamlError`."""
    if source == STANDARD_INPUT:
        if sys.stdin is None:
            raise YamlError(FileCode.UNREADABLE, "it is closed", "Name a file.")
        return read_stream(sys.stdin.buffer)
    return read_bytes(Path(source))


def load(source: str) -> ManifestFile:
    """Read a file, or standard input for `-`.

    Raises `YamlError` for a file that holds neither a FineTuneJob nor a FineTunePreset, or an object twice.
    """
    label = label_of(source)
    documents = [item for document in parse(content_of(source)) for item in _items(document)]
    _refuse_duplicates(documents)
    jobs: list[JobDocument] = []
    config_maps: dict[str, Mapping[str, str]] = {}
    presets: dict[str, PresetDocument] = {}
    for document in documents:
        kind = _checked_kind(document)
        if kind == JOB_KIND:
            jobs.append(JobDocument(document))
        elif kind == PRESET_KIND:
            preset = preset_in(document)
            presets[preset.name] = preset
        elif kind == "ConfigMap":
            name, data = _config_map(document)
            config_maps[name] = data
    if not jobs and not presets:
        kinds = ", ".join(sorted({str(document.value["kind"]) for document in documents}))
        raise YamlError(
            FileCode.NO_FINE_TUNE_JOB,
            f"there is no FineTuneJob in it, only {kinds}",
            "Name a file that holds one.",
            documents[0].position,
        )
    return ManifestFile(label, tuple(jobs), config_maps, presets)


def chosen(label: str, jobs: Sequence[JobDocument], name: str | None) -> JobDocument:
    """Return the job of that name, or the only one. Raises `CommandError`."""
    names = [job.name for job in jobs]
    if not jobs:
        raise CommandError(f"{label} holds a preset, and no job that uses it")
    if name is None:
        if len(names) > 1:
            raise CommandError(f"{label} holds several jobs: choose one with --job {'|'.join(names)}")
        return jobs[0]
    if name not in names:
        raise CommandError(f"--job {name}: {label} holds {', '.join(names)}")
    return jobs[names.index(name)]


def label_of(source: str) -> str:
    """Return what a source is called in messages."""
    return "<stdin>" if source == STANDARD_INPUT else source


def _items(document: YamlDocument) -> Iterator[YamlDocument]:
    """Yield the objects of a `kind: List`, else the document itself. Raises `YamlError` for an empty one."""
    value = document.value
    if isinstance(value, Mapping) and value.get("kind") == "List" and isinstance(value.get("items"), list):
        if not value["items"]:
            raise YamlError(
                FileCode.EMPTY_LIST,
                "there is nothing in the list",
                "Write at least one object.",
                document.locate("items"),
            )
        for index, item in enumerate(value["items"]):
            prefix = f"items[{index}]"
            inner = {
                path.removeprefix(f"{prefix}."): position
                for path, position in document.positions.items()
                if path.startswith(f"{prefix}.")
            }
            yield YamlDocument(item, document.locate(prefix), inner)
    else:
        yield document


def _checked_kind(document: YamlDocument) -> str:
    value = document.value
    if not isinstance(value, Mapping):
        raise YamlError(
            FileCode.NOT_AN_OBJECT,
            f"a Kubernetes object is a mapping; this is {_describe(value)}",
            "Start with apiVersion, kind, metadata and spec.",
            document.position,
        )
    kind, version = _text(document, "kind"), _text(document, "apiVersion")
    group = version.partition("/")[0]
    if group == OUR_GROUP and kind not in OUR_KINDS:
        meant = difflib.get_close_matches(kind, OUR_KINDS, n=1, cutoff=0.0)[0]
        raise YamlError(
            FileCode.WRONG_KIND,
            f"{version} has no kind {kind!r}",
            f"Write kind: {meant}.",
            document.locate("kind"),
        )
    if kind in OUR_KINDS and version != "finetune.dev/v1alpha1":
        raise YamlError(
            FileCode.WRONG_VERSION,
            f"{kind} is not of apiVersion {version!r}",
            "Write apiVersion: finetune.dev/v1alpha1.",
            document.locate("apiVersion"),
        )
    if kind not in OUR_KINDS and (meant_ours := difflib.get_close_matches(kind, OUR_KINDS, n=1, cutoff=0.8)):
        raise YamlError(
            FileCode.WRONG_KIND,
            f"{version} has no kind {kind!r}",
            f"Did you mean {meant_ours[0]}? Its apiVersion is finetune.dev/v1alpha1.",
            document.locate("kind"),
        )
    return kind


def _refuse_duplicates(documents: Sequence[YamlDocument]) -> None:
    """Raise `YamlError` for the second of two objects that are one to the cluster: applied, it would replace
    the first."""
    first_seen: dict[tuple[str, str, str], Position] = {}
    for document in documents:
        kind = _checked_kind(document)
        metadata = document.value.get("metadata")
        name = metadata.get("name") if isinstance(metadata, Mapping) else None
        if not isinstance(name, str) or kind not in {*OUR_KINDS, "ConfigMap"}:
            continue
        identity = (kind, str(metadata.get("namespace") or ""), name)
        if identity in first_seen:
            raise YamlError(
                FileCode.DUPLICATE_OBJECT,
                f"the {kind} {name!r} is there twice; it first stands at {first_seen[identity]}",
                "Rename or remove one of the two.",
                document.locate("metadata.name"),
            )
        first_seen[identity] = document.position


def _text(document: YamlDocument, field: str) -> str:
    text = document.value.get(field)
    if not isinstance(text, str) or not text:
        raise YamlError(
            FileCode.NO_KIND,
            f"{field} is missing" if text is None else f"{field} must be text; this is {_describe(text)}",
            _way_to_a_manifest(document.value),
            document.locate(field),
        )
    return text


def _way_to_a_manifest(value: object) -> str:
    """What to do about an object without a kind, which may be another program's configuration."""
    from finetune_cli.foreign.programs import TITLES, program_of

    program = program_of(value) if isinstance(value, dict) else None
    if program is None:
        return "Write apiVersion: finetune.dev/v1alpha1 and kind: FineTuneJob."
    return f"It looks like a configuration of {TITLES[program]}: `finetune import` makes a job of it."


def preset_in(document: YamlDocument) -> PresetDocument:
    """Return the FineTunePreset in a document. Raises `YamlError` if it is none."""
    from pydantic import ValidationError

    from finetune_api.preset import FineTunePreset
    from finetune_api.presets import Preset
    from finetune_api.validation.parsing import finding_of

    try:
        preset = Preset.from_manifest(document.value)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        raise YamlError(
            Code.INVALID_PRESET,
            f"{path} {finding_of(first, FineTunePreset).message}",
            "A FineTunePreset has metadata.name, spec.title and spec.values.",
            document.locate(path),
        ) from None
    return PresetDocument(preset.name, preset.values, document)


def _config_map(document: YamlDocument) -> tuple[str, Mapping[str, str]]:
    from finetune_api.base import OBJECT_KEY_PATTERN

    metadata = document.value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    data = document.value.get("data") or {}
    if not isinstance(name, str):
        raise YamlError(
            FileCode.NO_NAME,
            "the ConfigMap has no metadata.name",
            "Give it a name.",
            document.locate("metadata"),
        )
    if not isinstance(data, Mapping) or not all(isinstance(text, str) for text in data.values()):
        raise YamlError(
            FileCode.INVALID_CONFIG_MAP,
            f"data of the ConfigMap {name} must map keys to text",
            "Quote the values, or write them as blocks with |.",
            document.locate("data"),
        )
    for key in data:
        if not re.fullmatch(OBJECT_KEY_PATTERN, key):
            raise YamlError(
                FileCode.INVALID_CONFIG_MAP,
                f"{key!r} is no key of a ConfigMap, each of which is the name of a file",
                "Use letters, digits, '-', '_' and '.'; do not begin with two dots.",
                document.locate("data"),
            )
    return name, data


def _describe(value: object) -> str:
    names = {list: "a list", dict: "a mapping", str: "text", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), f"the number {value}")
