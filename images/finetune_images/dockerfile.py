"""Reads a Dockerfile as far as needed to know which files of the repository a stage is made from."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from finetune_images.errors import ImageError


@dataclass(frozen=True)
class Instruction:
    """One instruction, its continuation lines joined and comments left out."""

    keyword: str
    arguments: str

    def flag(self, name: str) -> str | None:
        """The value of `--name=value` before the arguments proper, if it is there."""
        match = re.search(rf"(?:^|\s)--{name}=(\S+)", self.arguments)
        return match[1] if match else None

    def mounts(self) -> list[dict[str, str]]:
        """The options of each `RUN --mount=…`."""
        found = re.findall(r"(?:^|\s)--mount=(\S+)", self.arguments)
        return [dict(option.partition("=")[::2] for option in mount.split(",")) for mount in found]

    def copies(self) -> tuple[list[str], str]:
        """Sources and destination of a COPY."""
        *sources, destination = [word for word in shlex.split(self.arguments) if not word.startswith("--")]
        return sources, destination


@dataclass(frozen=True)
class Stage:
    """A `FROM … AS name` and what follows it."""

    name: str
    base: str
    instructions: tuple[Instruction, ...]

    def references(self) -> set[str]:
        """Names of what it takes files from: its base, `COPY --from`, `RUN --mount=from`."""
        taken = [instruction.flag("from") for instruction in self.instructions]
        mounted = [mount.get("from") for step in self.instructions for mount in step.mounts()]
        return {name for name in (self.base, *taken, *mounted) if name}

    def context_paths(self) -> set[str]:
        """What it reads of the build context."""
        copied = {
            source
            for step in self.instructions
            if step.keyword == "COPY" and step.flag("from") is None
            for source in step.copies()[0]
        }
        mounted = {
            mount["source"]
            for step in self.instructions
            for mount in step.mounts()
            if mount.get("type") == "bind" and "from" not in mount
        }
        return copied | mounted


@dataclass(frozen=True)
class Dockerfile:
    """The stages of a Dockerfile and the arguments declared before the first of them."""

    arguments: dict[str, str]
    stages: tuple[Stage, ...]

    def stage(self, name: str) -> Stage:
        """The stage of that name.

        Raises:
            ImageError: there is none.
        """
        for stage in self.stages:
            if stage.name == name:
                return stage
        names = ", ".join(stage.name for stage in self.stages if stage.name)
        raise ImageError(f"the Dockerfile has no stage {name!r}. Its stages: {names}")

    def closure(self, name: str) -> list[Stage]:
        """The stage and every stage that it is made from, in the order of the file."""
        wanted, queue = set[str](), [name]
        names = {stage.name for stage in self.stages}
        while queue:
            current = queue.pop()
            if current not in wanted:
                wanted.add(current)
                queue.extend(self.stage(current).references() & names)
        return [stage for stage in self.stages if stage.name in wanted]


def read(path: Path) -> Dockerfile:
    """Reads a Dockerfile.

    Raises:
        OSError: it cannot be read.
    """
    return parse(path.read_text())


def parse(text: str) -> Dockerfile:
    """Reads the text of a Dockerfile; parser directives and here-documents are not understood."""
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for step in _instructions(text):
        if step.keyword == "FROM":
            base, _, name = re.sub(r"\s+", " ", step.arguments).partition(" AS ")
            stages.append(Stage(name, base, ()))
        elif stages:
            current = stages[-1]
            stages[-1] = Stage(current.name, current.base, (*current.instructions, step))
        elif step.keyword == "ARG":
            name, _, default = step.arguments.partition("=")
            arguments[name] = default
    return Dockerfile(arguments, tuple(stages))


def _instructions(text: str) -> list[Instruction]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    logical = re.sub(r"\\\n", " ", "\n".join(lines)).splitlines()
    split = [line.strip().partition(" ") for line in logical if line.strip()]
    return [Instruction(keyword.upper(), arguments.strip()) for keyword, _, arguments in split]
