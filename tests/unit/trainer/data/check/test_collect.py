"""What a check of the data finds, on data with one of each flaw."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api import ResolvedJob
from finetune_trainer.data import loading
from finetune_trainer.data.check.collect import check_data
from finetune_trainer.data.check.encoding import encoding_of
from finetune_trainer.data.check.report import DataReport
from finetune_trainer.data.recipes import prepare
from finetune_trainer.errors import DataError

MakeJob = Callable[..., ResolvedJob]

GOOD = [{"instruction": f"add {number} and 1", "output": str(number + 1)} for number in range(12)]
FLAWED: list[dict[str, Any]] = [
    *GOOD,
    GOOD[0],
    {"instruction": "no output"},
    {"instruction": "long " * 40, "output": "never seen"},
    {"instruction": "count", "output": "1 " * 90, "extra": "x"},
]


@pytest.fixture
def check(make_job: MakeJob, write_jsonl: Callable[..., Path]) -> Callable[..., DataReport]:
    def run(records: list[dict[str, Any]], spec: dict[str, Any] | None = None, **options: Any) -> DataReport:
        write_jsonl(records)
        return check_data(make_job(spec or {}), **options)

    return run


def codes(report: DataReport) -> set[str]:
    return {remark.code for remark in report.remarks}


def test_flaws_are_counted_and_named_with_file_and_line(check: Callable[..., DataReport]) -> None:
    part = check(FLAWED).train
    assert (part.records, part.broken, part.duplicates, part.truncated, part.unsupervised) == (15, 1, 1, 2, 1)
    assert part.first_broken[0].where == "train.jsonl, line 14"
    assert part.first_broken[0].problem.startswith("'output' is missing")
    duplicate = part.first_duplicates[0]
    assert (duplicate.where, duplicate.same_as) == ("train.jsonl, line 13", "train.jsonl, line 1")
    assert part.first_unsupervised == ["train.jsonl, line 15"]
    assert [(column.name, column.records) for column in part.columns] == [
        ("instruction", 16),
        ("output", 15),
        ("extra", 1),
    ]
    assert [(file.name, file.encoding) for file in part.files] == [("train.jsonl", "ASCII")]


def test_processes_find_what_one_finds(check: Callable[..., DataReport]) -> None:
    unjudged = [record | {"label": number % 5 != 0} for number, record in enumerate(FLAWED[:12] * 25)]
    for line in (7, 280):
        del unjudged[line]["label"]
    one, two = (
        check(unjudged, {"training": {"stage": "kto"}, "dataset": {"preprocessing": {"workers": workers}}})
        for workers in (1, 2)
    )
    assert one == two
    assert [problem.where for problem in two.train.first_broken] == [
        "train.jsonl, line 8",
        "train.jsonl, line 281",
    ]


def test_of_a_stream_the_first_records_are_looked_at_and_the_report_says_so(
    check: Callable[..., DataReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = {"dataset": {"streaming": True}, "training": {"maxSteps": 2}}
    whole = check(GOOD, stream)
    assert (whole.train.records, whole.train.continues) == (12, False)
    assert "FirstRecordsOnly" not in codes(whole)

    monkeypatch.setattr(loading, "STREAM_SAMPLE", 5)
    assert (check(GOOD, stream).train.records, check(GOOD).train.records) == (5, 12)
    monkeypatch.setattr(loading, "STREAM_SAMPLE_CHARACTERS", len("add 0 and 11") * 3)
    report = check(GOOD, stream)
    assert (report.train.records, report.train.continues) == (3, True)
    assert [column.records for column in report.train.columns] == [3, 3]
    assert "FirstRecordsOnly" in codes(report)


def test_flaws_become_remarks_with_the_errors_first(check: Callable[..., DataReport]) -> None:
    report = check(FLAWED)
    assert codes(report) >= {"BrokenRecords", "FewExamples", "LongRecords", "TrainsOnNothing", "Duplicates"}
    assert report.remarks[0].severity == "error"
    assert not report.is_usable


def test_a_column_that_no_record_has_is_an_error(check: Callable[..., DataReport]) -> None:
    report = check(GOOD, {"dataset": {"columns": {"system": "misspelt"}}})
    assert report.remarks[0].message == "dataset.columns.system: no record has 'misspelt'"
    assert not report.is_usable


def test_numbers_are_those_of_the_training_run(
    check: Callable[..., DataReport], make_job: MakeJob, tiny_model: Path
) -> None:
    from finetune_trainer.data.loading import load_examples
    from finetune_trainer.model.tokenizers import complete_tokenizer, load_tokenizer

    spec = {"dataset": {"evalSplit": 0.25}, "training": {"maxSteps": None, "epochs": 2}}
    report = check(GOOD, spec)
    job = make_job(spec)
    tokenizer = load_tokenizer(job.spec.model, base=str(tiny_model), revision=None)
    complete_tokenizer(tokenizer, job.spec.model, use_chat_template=True)
    source = job.spec.dataset.train
    data, evaluation = prepare(
        job, lambda: load_examples(job.spec.dataset, source, job.paths.train), tokenizer
    )
    assert evaluation is not None
    assert report.held_out == len(evaluation) == 3
    assert report.train.tokens == data.facts.tokens + evaluation.facts.tokens
    assert report.train.ended == 12
    assert report.steps is not None
    # 9 sequences in steps of 4
    assert (report.steps.steps_per_epoch, report.steps.total_steps) == (3, 6)
    assert report.is_usable


def test_an_answer_that_nobody_has_judged_is_broken_for_kto_alone(check: Callable[..., DataReport]) -> None:
    labelled = [record | {"label": number % 2 == 0} for number, record in enumerate(GOOD)]
    report = check([*labelled, GOOD[0]], {"training": {"stage": "kto"}})
    assert [str(problem.where) for problem in report.train.first_broken] == ["train.jsonl, line 13"]
    assert report.train.first_broken[0].problem.startswith(
        "the record does not say whether its answer is desi"
    )
    assert not report.is_usable
    assert check([*labelled, GOOD[0]]).is_usable


def test_for_kto_both_answers_of_a_preference_count(check: Callable[..., DataReport]) -> None:
    pairs = [{"prompt": f"add {number}", "chosen": "1", "rejected": "no"} for number in range(8)]
    steps = {
        stage: check(pairs, {"training": {"stage": stage}, "dataset": {"format": "preference"}}).steps
        for stage in ("dpo", "kto")
    }
    assert [found.steps_per_epoch if found else None for found in steps.values()] == [2, 4]


def test_an_answer_to_nothing_is_broken_where_the_model_is_to_answer(
    check: Callable[..., DataReport],
) -> None:
    turns = [{"messages": [{"role": "assistant", "content": "hello"}]}]
    grpo = {"stage": "grpo", "grpo": {"rewardFunctions": ["brevity"], "groupSize": 2}}
    for training, broken in (({"stage": "sft"}, 0), (grpo, 1)):
        report = check(turns, {"training": training, "dataset": {"format": "messages"}})
        assert report.train.broken == broken


def test_the_histogram_counts_every_record_once(check: Callable[..., DataReport]) -> None:
    lengths = check(FLAWED).train.lengths
    assert lengths is not None
    assert sum(bar.records for bar in lengths.histogram) == 15
    assert lengths.histogram[0].start == lengths.shortest
    assert lengths.histogram[-1].end > lengths.longest
    assert lengths.longest > 64


def test_samples_show_what_is_supervised(check: Callable[..., DataReport]) -> None:
    samples = check(GOOD, samples=2).samples
    assert [sample.where for sample in samples] == ["train.jsonl, line 1", "train.jsonl, line 12"]
    assert [piece.text for piece in samples[0].pieces if piece.supervised] == ["1<|endoftext|>"]
    assert "".join(piece.text for piece in samples[1].pieces).startswith("<|im_start|>user\nadd 11 and 1")


def test_packing_is_counted_in_packs(check: Callable[..., DataReport]) -> None:
    loose, packed = (check(GOOD, {"dataset": {"packing": packing}}).steps for packing in (False, True))
    assert loose is not None
    assert packed is not None
    assert loose.packed_sequences is None
    assert packed.packed_sequences is not None
    assert 1 < packed.packed_sequences < 12


def test_evaluation_records_that_are_trained_on_are_found(
    check: Callable[..., DataReport], tmp_path: Path
) -> None:
    path = tmp_path / "eval.jsonl.gz"
    records = [{"output": "1", "instruction": "add 0 and 1"}, {"instruction": "new", "output": "x"}]
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, records)).encode()))
    report = check(GOOD, {"dataset": {"eval": {"path": str(path)}}})
    assert report.eval is not None
    assert report.eval.records == 2
    assert report.overlap == 1
    assert report.first_overlaps[0].where == "eval.jsonl.gz, line 1"
    assert "TrainEvalOverlap" in codes(report)


def test_records_on_both_sides_of_a_split_overlap(check: Callable[..., DataReport]) -> None:
    split = {"dataset": {"evalSplit": 0.5}}
    report = check([*GOOD, *GOOD], split)
    held_out = {overlap.where for overlap in report.first_overlaps}
    assert 0 < report.overlap < report.held_out == 12
    assert not held_out & {overlap.same_as for overlap in report.first_overlaps}
    assert "TrainEvalOverlap" in codes(report)

    assert check(GOOD, split).overlap == 0
    # none is evaluated on
    assert check([*GOOD, *GOOD]).overlap == 0


def test_both_pairs_of_a_split_overlap_where_they_say_the_same(check: Callable[..., DataReport]) -> None:
    records = [{"prompt": f"add {a} and 1", "chosen": str(a + 1), "rejected": "no"} for a in range(8)]
    spec = {"dataset": {"format": "preference", "evalSplit": 0.5}, "training": {"stage": "dpo"}}
    assert check([*records, *records], spec).overlap > 0


def test_answers_that_never_end_are_remarked(check: Callable[..., DataReport], tiny_model: Path) -> None:
    template = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    template += "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    model = {"path": str(tiny_model), "tokenizer": {"chatTemplate": template}}
    spec = {"model": model, "dataset": {"preprocessing": {"addEosToken": False}}}
    report = check(GOOD, spec)
    assert report.train.ended == 0
    assert "EndNotLearned" in codes(report)


def test_records_that_the_limit_refuses_are_broken_rather_than_the_end_of_the_check(
    check: Callable[..., DataReport],
) -> None:
    part = check(FLAWED, {"dataset": {"preprocessing": {"overlong": "fail"}}}).train
    assert part.broken == 3
    assert "training.maxSequenceLength is 64" in part.first_broken[-1].problem


def test_data_on_which_nothing_is_learned_is_an_error_in_the_report(check: Callable[..., DataReport]) -> None:
    report = check([{"instruction": "long " * 40, "output": "x"}])
    assert report.steps is None
    assert "NothingToLearn" in codes(report)


def test_no_data_at_all_is_an_error(check: Callable[..., DataReport]) -> None:
    with pytest.raises(DataError, match="holds no records"):
        check([])


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (b"plain", "ASCII"),
        ("é".encode(), "UTF-8"),
        ("é".encode("utf-8-sig"), "UTF-8 with a byte order mark"),
        ("é".encode("utf-16"), "UTF-16; must be UTF-8"),
        ("é".encode("latin-1"), "not UTF-8"),
        ("é".encode()[:1], "not UTF-8"),
    ],
)
def test_encodings_are_told_apart(tmp_path: Path, content: bytes, encoding: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    assert encoding_of(path) == encoding


def test_preferences_are_counted_in_pairs(check: Callable[..., DataReport]) -> None:
    records = [{"prompt": f"add {a} and 1", "chosen": str(a + 1), "rejected": "no"} for a in range(8)]
    report = check(records, {"dataset": {"format": "preference"}, "training": {"stage": "dpo"}})
    assert (report.train.records, report.train.sequences) == (8, 16)
    assert report.steps is not None
    assert report.steps.steps_per_epoch == 2


def test_steps_of_drawn_answers_are_counted_in_groups(check: Callable[..., DataReport]) -> None:
    grpo = {"rewardFunctions": ["ended"], "groupSize": 2, "updatesPerBatch": 3}
    training = {"stage": "grpo", "grpo": grpo | {"sampling": {"maxNewTokens": 8}}}
    report = check(GOOD, {"training": training})
    assert report.steps is not None
    # 12 prompts, two in a step, each step's answers learned from three times
    assert report.steps.steps_per_epoch == 18
