"""Rules about `spec.dataset`."""

from collections.abc import Iterator, Mapping
from typing import Final

from finetune_api.dataset import ColumnsSpec, DatasetSpec, DataSource
from finetune_api.job import FineTuneJob
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, error, suggestion
from finetune_api.validation.rules.common import absolute_path, inside
from finetune_api.validation.rules.sources import data_source

PAIR_STAGES: Final = ("rm", "dpo")
PREFERENCE_STAGES: Final = (*PAIR_STAGES, "kto")
"""Stages that can learn from preferences; kto takes either answer by itself, and labelled ones too."""

_TURNS: Final = ("role", "content", "system", "tools")
COLUMNS_READ: Final[Mapping[str, tuple[str, ...]]] = {
    "alpaca": ("instruction", "input", "output", "system", "history", "label"),
    "csv": ("instruction", "input", "output", "system", "label"),
    "messages": ("messages", "label", *_TURNS),
    "oasst": (),
    "preference": ("prompt", "chosen", "rejected", *_TURNS),
    "promptCompletion": ("prompt", "completion", "label", *_TURNS),
    "sharegpt": ("messages", "label", *_TURNS),
    "text": ("text",),
}
"""Columns that each format reads, beside the length; custom may read any."""

_KEYS: Final = ("role", "content")
"""Keys within a turn, which are no columns."""


def dataset(job: FineTuneJob, target: str) -> Iterator[Finding]:
    """One source each, safe paths, and a format that suits the stage."""
    spec = job.spec.dataset
    for part, source in (("train", spec.train), ("eval", spec.eval)):
        if source is not None:
            yield from _source(job, source, f"dataset.{part}", target)
    if spec.eval is not None and spec.eval_split > 0:
        yield error(
            Code.CONFLICT,
            "dataset.evalSplit",
            "holds records out of the training data, and dataset.eval brings its own",
            "Remove dataset.evalSplit or dataset.eval",
            spec.eval_split,
        )
    if spec.max_samples is not None and 0 < spec.max_samples * spec.eval_split < 1:
        yield error(
            Code.OUT_OF_RANGE,
            "dataset.evalSplit",
            f"holds out less than one record of the {spec.max_samples} that dataset.maxSamples uses",
            "Raise dataset.evalSplit or dataset.maxSamples",
            spec.eval_split,
        )
    if spec.packing and job.spec.training.stage == "pretrain":
        yield error(
            Code.CONFLICT,
            "dataset.packing",
            "is for records that must not see one another; text for training.stage pretrain is one stream",
            "Remove dataset.packing",
            spec.packing,
        )
    yield from _format(job)
    yield from _columns(spec)


def _source(job: FineTuneJob, source: DataSource, path: str, target: str) -> Iterator[Finding]:
    yield from data_source(source, path)
    if source.path is None or target == "local":
        return
    yield from absolute_path(source.path, f"{path}.path")
    mounts = [volume.mount_path for volume in job.spec.resources.volumes]
    if source.path.startswith("/") and not any(inside(source.path, mount) for mount in mounts):
        yield suggestion(
            Code.OUTSIDE_VOLUMES,
            f"{path}.path",
            "is inside no volume of the job, so the image must hold it",
            f"Mount its volume with resources.volumes, or use {path}.pvc",
            source.path,
        )


def _format(job: FineTuneJob) -> Iterator[Finding]:
    spec, stage = job.spec.dataset, job.spec.training.stage
    remedy = None
    if spec.format == "preference" and stage not in PREFERENCE_STAGES:
        remedy = "Use training.stage dpo, rm or kto, or another format"
    elif stage in PAIR_STAGES and spec.format not in ("preference", "custom"):
        remedy = "Use dataset.format preference"
    elif spec.format == "text" and stage != "pretrain":
        remedy = "Use training.stage pretrain, or a format with prompts and answers"
    elif stage == "pretrain" and spec.format not in ("text", "custom"):
        remedy = "Use dataset.format text, with columns.text for the column that holds it"
    if remedy is not None:
        yield error(
            Code.FORMAT_STAGE_MISMATCH,
            "dataset.format",
            f"does not suit training.stage {stage}",
            remedy,
            spec.format,
        )
    if spec.format == "custom" and not spec.columns.model_fields_set:
        yield error(
            Code.REQUIRES,
            "dataset.columns",
            "the custom format takes its fields from the columns, and none is named",
            "Name the columns, such as dataset.columns.instruction and dataset.columns.output",
        )


def _columns(spec: DatasetSpec) -> Iterator[Finding]:
    """A column that is two parts of a record puts an answer into its own prompt."""
    told = ((part, getattr(spec.columns, part)) for part in ColumnsSpec.model_fields)
    named = {part: column for part, column in told if column is not None}
    read = COLUMNS_READ.get(spec.format, tuple(named))
    if spec.format == "csv" and not named.keys().isdisjoint(("instruction", "input")):
        # of these two, then, only what is named
        read = tuple(part for part in read if part in named or part not in ("instruction", "input"))
    parts: dict[str, str] = {}
    for part in (part for part in read if part not in (*_KEYS, "prompt_template", "length")):
        column = named.get(part, part)
        other = parts.setdefault(column, part)
        if other != part:
            here, there = (part, other) if part in named else (other, part)
            yield error(
                Code.CONFLICT,
                f"dataset.columns.{here}",
                f"is the column of {there} too, so that one would be learned from the other",
                f"Name another column here or in dataset.columns.{there}",
                column,
            )
