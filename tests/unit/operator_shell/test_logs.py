"""Logs: one JSON object per line, with the job it is about and nothing about others."""

import json
import logging
from collections.abc import Iterator

import pytest

from finetune_operator import logs
from finetune_operator.keys import JobKey


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    names = ("", "kopf", "aiohttp.access")
    levels = {name: logging.getLogger(name).level for name in names}
    handlers = logging.getLogger().handlers[:]
    yield
    logging.getLogger().handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def logger() -> logging.Logger:
    return logging.getLogger("finetune_operator.test")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_carries_its_job_and_only_inside_the_block(
    capsys: pytest.CaptureFixture[str], logger: logging.Logger
) -> None:
    logs.configure("INFO", "json")
    with logs.about(JobKey("team", "tune")):
        logger.info("inside %d", 1)
    logger.info("outside")
    inside, outside = lines(capsys)
    assert (inside["job"], inside["message"], inside["level"]) == ("team/tune", "inside 1", "INFO")
    assert "job" not in outside


def test_an_error_stays_on_one_line(capsys: pytest.CaptureFixture[str], logger: logging.Logger) -> None:
    logs.configure("INFO", "json")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logger.exception("it broke")
    [line] = lines(capsys)
    assert "ValueError: two\nlines" in line["error"]


def test_the_level_is_kept(capsys: pytest.CaptureFixture[str], logger: logging.Logger) -> None:
    logs.configure("WARNING", "json")
    logger.info("quiet")
    logger.warning("loud")
    assert [line["message"] for line in lines(capsys)] == ["loud"]


def test_text_is_for_people(capsys: pytest.CaptureFixture[str], logger: logging.Logger) -> None:
    logs.configure("INFO", "text")
    with logs.about(JobKey("team", "tune")):
        logger.info("hello")
    assert capsys.readouterr().err.endswith("INFO    [team/tune] hello\n")
