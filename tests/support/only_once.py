"""A plugin of pytest for long runs: with `--passed FILE`, tests whose names are in the file are left out,
and those that pass are added to it at once.

What was ended in its middle goes on where it was: `pytest -p only_once --passed FILE …`.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--passed`."""
    parser.addoption("--passed", type=Path, help="file with the names of tests that need not run again")


def pytest_configure(config: pytest.Config) -> None:
    """Does nothing without a file."""
    file = config.getoption("--passed")
    if file is not None:
        config.pluginmanager.register(_OnlyOnce(file))


class _OnlyOnce:
    def __init__(self, file: Path) -> None:
        self.file = file
        self.passed = set(file.read_text(encoding="utf-8").splitlines()) if file.exists() else set()

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> Iterator[None]:
        """After the selection by names and markers."""
        yield
        done = [item for item in items if item.nodeid in self.passed]
        items[:] = [item for item in items if item.nodeid not in self.passed]
        config.hook.pytest_deselected(items=done)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One line, in one write: two runs may share the file."""
        if report.when == "call" and report.passed:
            with self.file.open("a", encoding="utf-8") as file:
                file.write(f"{report.nodeid}\n")
