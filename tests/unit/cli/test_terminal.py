"""What a terminal gets to see of the text of strangers."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from finetune_cli.commands import logs
from finetune_cli.terminal import log_line


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("step 1\tloss 2.5 é 日本", "step 1\tloss 2.5 é 日本"),
        ("\x1b[2J\x1b[Hgone", " [2J [Hgone"),
        ("\x1b]0;title\x07text", " ]0;title text"),
        ("\x9b31mC1\x7f \u202edlrow", " 31mC1   dlrow"),
        ("\r 10%|#   |\r 90%|### |\r", " 90%|### |"),
        ("\x1b[1;32mgreen\x1b[0m, plain", "\x1b[1;32mgreen\x1b[0m, plain\x1b[0m"),
        ("\x1b[31mred for ever", "\x1b[31mred for ever\x1b[0m"),
        ("no UTF-8: \udcff", "no UTF-8:  "),
    ],
)
def test_a_terminal_sees_text_tabs_and_colours_of_a_log_and_acts_on_nothing_else(line, shown) -> None:
    assert log_line(line, colours=True) == shown


def test_with_no_color_colours_are_left_out() -> None:
    assert log_line("\x1b[1;32mgreen\x1b[0m, \x1b[2Jplain", colours=False) == "green,  [2Jplain"


def test_a_pipe_gets_the_bytes_of_a_log_as_they_are(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    written = b"\x1b[2J\r\x9b\xff \xe2\x82\xac"
    logs._put(written.decode(errors="surrogateescape"))
    sys.stdout.flush()
    assert capfdbinary.readouterr().out == written + b"\n"


def finetune(*words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "finetune_cli", *words]
    return subprocess.run(command, stderr=subprocess.PIPE, check=False, **options)


def test_a_reader_that_has_gone_is_no_failure() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = finetune("presets", "list", stdout=writer)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_full_disk_is_said_in_one_line_and_is_a_failure() -> None:
    with Path("/dev/full").open("wb") as full:
        ended = finetune("presets", "list", stdout=full)
    said = b"finetune presets: the output can't be written: No space left on device\n"
    assert (ended.returncode, ended.stderr) == (1, said)


@pytest.mark.parametrize(
    "words",
    [
        ["compare", "examples/csv-columns.yaml", "examples/gpu-lora-8b.yaml"],
        ["validate", "é.yaml"],
    ],
    ids=lambda words: words[0],
)
def test_a_locale_without_the_characters_stops_nothing(words: list[str]) -> None:
    ended = finetune(*words, stdout=subprocess.PIPE, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert b"Traceback" not in ended.stderr
    assert ended.stdout.decode("utf-8").isascii() is False
