import io
import tarfile
from pathlib import Path

import pytest

from finetune_images import content
from finetune_images.dockerfile import Stage, parse
from finetune_images.errors import ImageError

CODE = parse("FROM scratch AS code\nCOPY lib /opt/app/lib\nCOPY run.sh /opt/app/run.sh\n").stage("code")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    (tmp_path / "lib" / "sub").mkdir(parents=True)
    (tmp_path / "lib" / "a.py").write_text("A = 1\n")
    (tmp_path / "lib" / "sub" / "b.py").write_text("B = 2\n")
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o700)
    return tmp_path


def members(layer: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        return {member.name: member for member in archive}


def test_the_layer_holds_the_copied_files_where_the_dockerfile_says(sources: Path) -> None:
    assert list(members(content.code_layer(CODE, sources))) == [
        "opt",
        "opt/app",
        "opt/app/lib",
        "opt/app/lib/a.py",
        "opt/app/lib/sub",
        "opt/app/lib/sub/b.py",
        "opt/app/run.sh",
    ]


def test_files_belong_to_root_and_all_may_read_them(sources: Path) -> None:
    packed = members(content.code_layer(CODE, sources))
    assert {(member.uid, member.gid, member.mtime) for member in packed.values()} == {(0, 0, 0)}
    assert packed["opt/app/lib/a.py"].mode == 0o644
    assert packed["opt/app/run.sh"].mode == 0o755


def test_same_content_is_the_same_layer_whatever_else_lies_beside_it(sources: Path) -> None:
    before = content.code_layer(CODE, sources)
    (sources / "lib" / "__pycache__").mkdir()
    (sources / "lib" / "__pycache__" / "a.cpython-311.pyc").write_bytes(b"compiled")
    (sources / "lib" / ".a.py.swp").write_bytes(b"an editor's")
    (sources / "lib" / "a.py").touch()
    assert content.code_layer(CODE, sources) == before


def test_a_changed_line_is_another_layer(sources: Path) -> None:
    before = content.code_layer(CODE, sources)
    (sources / "lib" / "a.py").write_text("A = 2\n")
    assert content.code_layer(CODE, sources) != before


@pytest.mark.parametrize(
    "text",
    [
        "FROM debian AS code\nCOPY lib /lib",
        "FROM scratch AS code\nRUN make",
        "FROM scratch AS code\nCOPY --from=x a /a",
    ],
)
def test_a_code_stage_that_does_more_than_copy_is_refused(text: str, sources: Path) -> None:
    with pytest.raises(ImageError, match="must start FROM scratch and only COPY"):
        content.code_layer(parse(text).stage("code"), sources)


def test_a_file_that_is_not_there_is_named(sources: Path) -> None:
    missing = parse("FROM scratch AS code\nCOPY nowhere /x").stage("code")
    with pytest.raises(ImageError, match="nowhere"):
        content.code_layer(missing, sources)


def lock_stage(command: str) -> Stage:
    return parse(f"FROM base AS deps\nRUN --mount=type=bind,source=run.sh,target=/run.sh {command}").stage(
        "deps"
    )


def test_dependencies_are_named_after_instructions_and_the_files_they_read(sources: Path) -> None:
    before = content.inputs_tag([lock_stage("install")], sources)
    assert content.inputs_tag([lock_stage("install")], sources) == before
    assert content.inputs_tag([lock_stage("install --all")], sources) != before
    (sources / "lib" / "a.py").write_text("not read by the stage")
    assert content.inputs_tag([lock_stage("install")], sources) == before
    (sources / "run.sh").write_text("something else")
    assert content.inputs_tag([lock_stage("install")], sources) != before


def test_parts_of_a_tag_do_not_run_into_each_other() -> None:
    assert content.tag("ab", "c") != content.tag("a", "bc")
