import pytest

from finetune_images.dockerfile import parse
from finetune_images.errors import ImageError

EXAMPLE = """
# what it is
ARG BASE=debian:12
FROM ${BASE} AS tools
RUN --mount=type=secret,id=host --mount=type=bind,source=locks/uv.txt,target=/run/uv.txt \\
    # a comment between the lines
    install \\
    uv

FROM ${BASE} AS unrelated
COPY other /other

FROM tools AS deps
RUN --mount=type=bind,from=built,source=/wheels,target=/wheels install
COPY --from=extra /x /y
COPY locks/a.txt "locks/b c.txt" /locks/

FROM scratch AS extra
FROM scratch AS built
COPY src /src
"""


def test_a_stage_is_made_from_its_base_its_copies_and_its_mounts() -> None:
    stages = parse(EXAMPLE).closure("deps")
    assert [stage.name for stage in stages] == ["tools", "deps", "extra", "built"]


def test_the_context_is_what_is_copied_or_mounted_from_no_other_stage() -> None:
    described = parse(EXAMPLE)
    assert described.stage("tools").context_paths() == {"locks/uv.txt"}
    assert described.stage("deps").context_paths() == {"locks/a.txt", "locks/b c.txt"}


def test_continued_lines_are_one_instruction_without_the_comments_between_them() -> None:
    (run,) = parse(EXAMPLE).stage("tools").instructions
    assert run.arguments.split()[-2:] == ["install", "uv"]
    assert "comment" not in run.arguments


def test_arguments_before_the_first_stage_are_known_with_their_defaults() -> None:
    assert parse(EXAMPLE).arguments == {"BASE": "debian:12"}


def test_an_unknown_stage_is_named_beside_those_that_there_are() -> None:
    with pytest.raises(ImageError, match=r"no stage 'code'.*tools, unrelated, deps"):
        parse(EXAMPLE).stage("code")
