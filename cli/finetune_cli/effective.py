"""The effective values of a job: every field, with defaults filled in, by its path."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from finetune_api.job import FineTuneJob
from finetune_api.validation import InvalidJobError, parse_job
from finetune_cli.errors import INVALID, CommandError
from finetune_cli.fields import all_fields
from finetune_cli.findings import place
from finetune_cli.preparation import PreparedJob, read


def read_job(source: str, name: str | None, overrides: Sequence[str]) -> tuple[PreparedJob, FineTuneJob]:
    """Return the job called `name` (or the only one) in a file, prepared, and as the models see it.

    Raises `CommandError`.
    """
    manifest, prepared = read(source, name, overrides)
    try:
        return prepared, parse_job(prepared.body)
    except InvalidJobError as invalid:
        said = "\n".join(placed.line(manifest.label) for placed in place(prepared.document, invalid.findings))
        raise CommandError(said, INVALID) from None


def as_it_runs(job: FineTuneJob) -> FineTuneJob:
    """Return the job with every `auto` decided that the accelerator it names decides."""
    from finetune_api.estimate import automatic
    from finetune_api.hardware import HardwareCatalog, named_accelerator

    return automatic(job, named_accelerator(job.spec.resources.accelerators, HardwareCatalog()))


def values(job: FineTuneJob) -> dict[str, Any]:
    """Return each value of the spec by its path; absent ones left out. A list or map is one value."""
    return dict(_flat(job.spec.to_json_object(), ""))


def _flat(value: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    fields = all_fields()
    for key, child in value.items():
        path = f"{prefix}.{key}" if prefix else key
        if isinstance(child, Mapping) and fields[path].is_section:
            yield from _flat(child, path)
        else:
            yield path, child
