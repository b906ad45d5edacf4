"""The report as text, JSON and HTML: complete, and safe whatever the data says."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from finetune_api.result import ExitCode
from finetune_trainer.data.check import command
from finetune_trainer.data.check.html import to_html
from finetune_trainer.data.check.report import (
    Bar,
    Column,
    DataFile,
    DataReport,
    Lengths,
    Part,
    Piece,
    Problem,
    Remark,
    RenderedSample,
    Steps,
)
from finetune_trainer.data.check.text import samples_to_text, to_text

EVIL = "<script>alert('x')</script>\x1b[2J&\u202e"
"""Markup, a terminal's escape sequence, and a character that turns the direction of writing."""

REPORT = DataReport(
    job="small",
    format="alpaca",
    train=Part(
        name="train",
        files=[DataFile(EVIL, 100, "UTF-8")],
        records=3,
        broken=1,
        first_broken=[Problem("train.jsonl, line 2", EVIL)],
        duplicates=0,
        first_duplicates=[],
        columns=[Column(EVIL, 3)],
        lengths=Lengths(10, 12, 12.5, 20, 21, [Bar(10, 16, 2), Bar(16, 22, 1)]),
        sequences=3,
        tokens=40,
        supervised_tokens=10,
        truncated=1,
        cut_tokens=5,
        cut_supervised_tokens=4,
        unsupervised=0,
        first_unsupervised=[],
        ended=2,
    ),
    eval=None,
    held_out=0,
    overlap=0,
    first_overlaps=[],
    steps=Steps(
        effective_batch_size=2, steps_per_epoch=2, total_steps=6, packed_sequences=None, filled_share=0.8
    ),
    samples=[RenderedSample(EVIL, 20, [Piece("q ", False), Piece(EVIL, True)])],
    remarks=[Remark("error", "BrokenRecords", EVIL, "Mend them")],
)


class Tags(HTMLParser):
    """Collects the elements and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]


def test_text_tells_counts_lengths_steps_and_samples() -> None:
    text = to_text(REPORT)
    for part in (
        "train: 3 records, 1 broken",
        "40 tokens, 25.0% supervised; 2 end in a supervised end token",
        "1 records are too long: 5 tokens are lost, 4 of them supervised",
        "steps: 6 in all, 2 per epoch, of 2 sequences; 80.0% of the computed tokens are real",
        "median 12",
        "q »<script>",
    ):
        assert part in text


@pytest.mark.parametrize("text", [to_text(REPORT), samples_to_text(REPORT)])
def test_data_cannot_steer_the_terminal(text: str) -> None:
    assert all(sign == "\n" or sign.isprintable() for sign in text)


def test_nothing_of_the_data_is_markup_and_the_page_asks_for_nothing() -> None:
    page = Tags(to_html(REPORT))
    assert not {"script", "img", "link", "iframe", "a"} & set(page.tags)
    assert not {"src", "href", "onload", "onclick"} & set(page.attributes)
    assert page.tags.count("rect") == 2
    assert page.tags.count("mark") == 2
    assert "default-src 'none'" in to_html(REPORT)
    assert "http://" not in to_html(REPORT)


def test_json_has_every_value_under_names_in_camel_case() -> None:
    value = json.loads(command.written(REPORT, "json"))
    assert value["train"]["firstBroken"] == [{"where": "train.jsonl, line 2", "problem": EVIL}]
    assert value["train"]["lengths"]["histogram"][0] == {"start": 10, "end": 16, "records": 2}
    assert value["steps"]["totalSteps"] == 6
    assert value["eval"] is None


def test_the_command_writes_a_file_and_says_whether_training_would_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_job: object
) -> None:
    monkeypatch.setattr(command, "check_data", lambda _job, _samples: REPORT)
    out = tmp_path / "report.html"
    job = make_job()  # type: ignore[operator]
    assert command.run(job, form="html", out=out, samples=3) == ExitCode.DATA_ERROR
    assert out.read_text(encoding="utf-8") == to_html(REPORT)
