"""What the check counts is what the trainer does, in every stage: both go through the same steps."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api import ResolvedJob
from finetune_trainer.data.check.collect import check_data
from finetune_trainer.data.order import data_order
from finetune_trainer.data.sampling import total_steps
from finetune_trainer.inputs import prepare_inputs
from stage_data import STAGES

MakeJob = Callable[..., ResolvedJob]

ASKING = ("instruction", "prompt", "text")


def with_a_long_one(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records, and one that leaves no room for what is learned."""
    long = {name: text * 12 if name in ASKING else text for name, text in records[0].items()}
    return [*records, long]


@pytest.mark.parametrize("overlong", ["truncate", "drop"])
@pytest.mark.parametrize("stage", STAGES)
def test_tokens_steps_and_records_are_the_trainers(
    make_job: MakeJob, tmp_path: Path, stage: str, overlong: str
) -> None:
    format_, records, settings = STAGES[stage]
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in with_a_long_one(records)))
    dataset = {"format": format_, "train": {"path": str(path)}, "evalSplit": 0.25}
    job = make_job(
        {
            "dataset": dataset | {"preprocessing": {"overlong": overlong}},
            "training": {"stage": stage, "maxSteps": None, "epochs": 2.5, **settings},
        }
    )
    report, inputs = check_data(job), prepare_inputs(job)
    data, evaluation = inputs.data, inputs.evaluation
    assert evaluation is not None
    assert report.steps is not None
    order = data_order(inputs.read, data)
    assert report.steps.steps_per_epoch == order.steps_per_epoch
    assert report.steps.total_steps == total_steps(job.spec.training, order.steps_per_epoch)
    assert report.held_out == len(evaluation)

    part, facts, rest = report.train, data.facts, evaluation.facts
    assert (part.records, part.broken) == (facts.records, 0) == (9, 0)
    assert part.sequences == facts.sequences + rest.sequences
    assert part.tokens == facts.tokens + rest.tokens
    assert part.supervised_tokens == facts.supervised_tokens + rest.supervised_tokens
    for name in ("truncated", "cut_tokens", "cut_supervised_tokens", "unsupervised"):
        assert getattr(part, name) == getattr(facts, name), name
    assert part.truncated == (stage != "pretrain")


@pytest.mark.parametrize("sampling", ["random", "groupByLength"])
def test_packs_and_lengths_of_records_are_the_trainers(
    make_job: MakeJob, write_jsonl: Callable[..., Path], sampling: str
) -> None:
    write_jsonl([record | {"size": 9} for record in STAGES["sft"][1]])
    grouped = sampling == "groupByLength"
    job = make_job(
        {
            "dataset": {"packing": not grouped, "columns": {"length": "size"} if grouped else {}},
            "training": {"sampling": sampling},
        }
    )
    report, data = check_data(job), prepare_inputs(job).data
    assert report.steps is not None
    assert report.steps.packed_sequences == (None if grouped else len(data))
    assert report.steps.steps_per_epoch == data_order(job, data).steps_per_epoch


@pytest.mark.parametrize("stage", ["grpo", "ppo"])
def test_prompts_without_room_for_an_answer_are_said(
    make_job: MakeJob, write_jsonl: Callable[..., Path], stage: str
) -> None:
    format_, records, settings = STAGES[stage]
    write_jsonl(with_a_long_one(records))
    report = check_data(make_job({"dataset": {"format": format_}, "training": {"stage": stage, **settings}}))
    assert (report.train.sequences, report.train.truncated, report.train.supervised_tokens) == (8, 1, 0)
    said = {remark.code: remark for remark in report.remarks}
    assert said["NoRoomForAnswers"].message.startswith("1 prompts (11.1%) are longer than training.maxSeq")
    # nothing of a prompt is learned, its end token neither
    assert not {"EndNotLearned", "TrainsOnNothing", "LongRecords"} & set(said)
    assert report.is_usable
    assert [piece.supervised for piece in report.samples[0].pieces] == [False]
    assert report.samples[0].pieces[0].text.endswith("assistant\n")


@pytest.mark.parametrize("stage", ["grpo", "ppo"])
def test_data_whose_prompts_all_leave_no_room_is_an_error(
    make_job: MakeJob, write_jsonl: Callable[..., Path], stage: str
) -> None:
    format_, records, settings = STAGES[stage]
    write_jsonl(with_a_long_one(records)[-1:])
    report = check_data(make_job({"dataset": {"format": format_}, "training": {"stage": stage, **settings}}))
    assert "NothingToLearn" in {remark.code for remark in report.remarks}
    assert report.train.truncated == 1
