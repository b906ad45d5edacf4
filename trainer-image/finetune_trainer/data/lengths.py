"""How long records are, for `training.sampling: groupByLength`: counted, or as a column of theirs says."""

from finetune_api.resolved import ResolvedJob
from finetune_trainer.data.examples import Origin, Record
from finetune_trainer.data.formats.base import json_type
from finetune_trainer.data.loading import read_examples
from finetune_trainer.data.training_data import TrainingData
from finetune_trainer.distributed import on_first_rank
from finetune_trainer.errors import DataError


def lengths_to_group_by(job: ResolvedJob, data: TrainingData) -> list[int] | None:
    """The length of each item; None where items are not grouped. All ranks call it alike.

    With `dataset.columns.length` it is what the record says, which one rank reads for all. Raises `DataError`
    for a record whose column does not hold a whole number of at least 1.
    """
    if job.spec.training.sampling != "groupByLength":
        return None
    column = job.spec.dataset.columns.length
    return data.lengths() if column is None else on_first_rank(lambda: _given(job, column, data))


def _given(job: ResolvedJob, column: str, data: TrainingData) -> list[int]:
    given: dict[Origin, int] = {}

    def see(record: Record) -> None:
        given[record.origin] = _length(record, column)

    for _ in read_examples(job.spec.dataset, job.spec.dataset.train, job.paths.train, see):
        pass
    return [sum(given[origin] for origin in data.origins([index])) for index in range(len(data))]


def _length(record: Record, column: str) -> int:
    value = record.fields.get(column)
    # the cells of a CSV file are text
    length = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        shown = json_type(value) if isinstance(value, list | dict) else repr(value)
        raise DataError(
            f"{record.origin}: dataset.columns.length: {column!r} must hold the record's length in tokens, a "
            f"whole number of at least 1, not {shown}"
        )
    return length
