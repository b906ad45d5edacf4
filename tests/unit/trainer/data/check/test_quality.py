"""Remarks on quality: said when there is reason, and only then."""

from dataclasses import replace

import pytest

from finetune_trainer.data.check.quality import remarks
from finetune_trainer.data.check.report import Part, Steps
from finetune_trainer.data.examples import Conversation, Message, Origin

FINE = Part(
    name="train",
    files=[],
    records=200,
    broken=0,
    first_broken=[],
    duplicates=0,
    first_duplicates=[],
    columns=[],
    lengths=None,
    sequences=200,
    tokens=4000,
    supervised_tokens=1000,
    truncated=0,
    cut_tokens=0,
    cut_supervised_tokens=0,
    unsupervised=0,
    first_unsupervised=[],
    ended=200,
)
STEPS = Steps(
    effective_batch_size=8, steps_per_epoch=25, total_steps=75, packed_sequences=None, filled_share=0.9
)


def answered(*answers: str) -> list[Conversation]:
    return [
        Conversation(Origin("f", line), (Message("user", "q"), Message("assistant", answer)))
        for line, answer in enumerate(answers, start=1)
    ]


VARIED = answered(*(f"answer {number}" for number in range(200)))


def said(
    train: Part = FINE,
    steps: Steps | None = STEPS,
    examples: list[Conversation] = VARIED,
    overlap: int = 0,
) -> list[tuple[str, str]]:
    found = remarks(train, None, steps, overlap, examples)
    return [(remark.severity, remark.code) for remark in found]


def test_good_data_gets_no_remark() -> None:
    assert said() == []


@pytest.mark.parametrize(
    ("change", "remark"),
    [
        ({"broken": 1}, ("error", "BrokenRecords")),
        ({"sequences": 0, "ended": 0}, ("error", "NothingToLearn")),
        ({"records": 49}, ("warning", "FewExamples")),
        ({"records": 99}, ("suggestion", "FewExamples")),
        ({"truncated": 9}, ("suggestion", "LongRecords")),
        ({"truncated": 10}, ("warning", "LongRecords")),
        ({"unsupervised": 1}, ("warning", "TrainsOnNothing")),
        ({"ended": 199}, ("warning", "EndNotLearned")),
        ({"duplicates": 1}, ("suggestion", "Duplicates")),
        ({"duplicates": 10}, ("warning", "Duplicates")),
    ],
)
def test_counts_become_remarks(change: dict[str, int], remark: tuple[str, str]) -> None:
    assert said(replace(FINE, **change)) == [remark]  # type: ignore[arg-type]


def test_an_answer_that_was_cut_is_not_said_to_lack_its_end() -> None:
    assert said(replace(FINE, truncated=1, ended=199)) == [("suggestion", "LongRecords")]


def test_much_padding_is_remarked_unless_records_are_packed() -> None:
    uneven = replace(STEPS, filled_share=0.5)
    assert said(steps=uneven) == [("suggestion", "UnevenLengths")]
    assert said(steps=replace(uneven, packed_sequences=9)) == []


def test_one_answer_for_most_records_is_remarked() -> None:
    assert said(examples=answered(*["yes"] * 6, *"abcdef")) == [("suggestion", "SameAnswer")]
    assert said(examples=answered(*["yes"] * 5, *"abcdef")) == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("cafÃ©", "GarbledText"),
        ("itâ€™s", "GarbledText"),
        ("lost \ufffd", "GarbledText"),
        ("bell \x07", "ControlCharacters"),
    ],
)
def test_text_that_is_not_clean_is_remarked(text: str, code: str) -> None:
    assert [found for _, found in said(examples=[*VARIED, *answered(text)])] == [code]


@pytest.mark.parametrize("text", ["café", "naïve Ålesund", "¿qué?", "tab\tand\nline", "Ã", "日本語 🙂"])
def test_other_languages_are_clean_text(text: str) -> None:
    assert said(examples=[*VARIED, *answered(text)]) == []


def test_overlap_with_the_evaluation_data_is_remarked() -> None:
    assert said(overlap=1) == [("warning", "TrainEvalOverlap")]
