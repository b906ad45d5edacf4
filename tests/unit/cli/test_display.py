"""A bar on a terminal, lines elsewhere, and no colours where they are not wanted."""

import io
import os
import pty

import pytest

from finetune_api import FineTuneJobStatus, Phase
from finetune_api.status import ProgressStatus
from finetune_cli.local.display import BarDisplay, PlainDisplay, clock, describe, display_for, shorten
from finetune_operator.plan import Event, EventType


def training(step: int) -> FineTuneJobStatus:
    progress = ProgressStatus(
        step=step, total_steps=10, percent=10 * step, remaining_seconds=65, activity="training"
    )
    return FineTuneJobStatus(
        phase=Phase.RUNNING, progress=progress, metrics={"loss": "1.23456", "tokensPerSecond": "8012.4"}
    )


def test_progress_is_described_in_one_line() -> None:
    assert describe(training(5)) == "training  step 5/10 (50%)  loss 1.235  tokens/s 8,012  1:05 left"
    assert describe(FineTuneJobStatus(phase=Phase.PENDING)) == "Pending"


@pytest.mark.parametrize(
    ("number", "text"), [("0.000123456", "0.0001235"), ("12", "12"), ("1234567", "1,234,567")]
)
def test_numbers_are_as_long_as_people_read_them(number: str, text: str) -> None:
    assert shorten(number) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59, "0:59"), (125, "2:05"), (3723, "1:02:03")])
def test_durations_are_written_as_clocks(seconds: int, text: str) -> None:
    assert clock(seconds) == text


def test_without_a_terminal_mere_progress_is_not_repeated() -> None:
    stream = io.StringIO()
    display = PlainDisplay(stream)
    for step in (1, 2, 3):
        display.show(training(step))
    display.tell([Event(EventType.WARNING, "Retrying", "again")])
    display.show(FineTuneJobStatus(phase=Phase.SUCCEEDED))
    assert stream.getvalue().splitlines() == [
        "training  step 1/10 (10%)  loss 1.235  tokens/s 8,012  1:05 left",
        "Retrying: again",
        "Succeeded",
    ]


def test_a_phase_and_an_activity_of_one_name_are_one_line() -> None:
    stream = io.StringIO()
    display = PlainDisplay(stream)
    display.show(FineTuneJobStatus(phase=Phase.STARTING))
    display.show(
        FineTuneJobStatus(phase=Phase.STARTING, progress=ProgressStatus(step=0, activity="starting"))
    )
    display.show(FineTuneJobStatus(phase=Phase.STARTING, progress=ProgressStatus(step=0, activity="loading")))
    assert stream.getvalue().splitlines() == ["Starting", "loading"]


def test_a_bar_fills_with_the_share_that_is_done() -> None:
    stream = io.StringIO()
    BarDisplay(stream, colour=False).show(training(5))
    assert f"[{'█' * 12}{'·' * 12}] training" in stream.getvalue()


@pytest.mark.parametrize(("variable", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_gets_a_bar_and_colours_unless_no_color_is_set(
    monkeypatch: pytest.MonkeyPatch, variable: dict[str, str], coloured: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    leader, follower = pty.openpty()
    with os.fdopen(leader, "rb"), os.fdopen(follower, "w") as terminal:
        display = display_for(terminal)
        assert isinstance(display, BarDisplay)
        assert display.colour is coloured


def test_a_file_gets_lines() -> None:
    assert isinstance(display_for(io.StringIO()), PlainDisplay)
