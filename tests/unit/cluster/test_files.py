"""Configuration files that programs watch."""

import stat
from pathlib import Path

from onenode.files import write_if_changed


def test_the_same_content_leaves_the_file_untouched(tmp_path: Path) -> None:
    path = write_if_changed(tmp_path / "folder" / "file", "content")
    before = path.stat()
    write_if_changed(path, "content")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_new_content_replaces_the_old_with_the_same_permissions(tmp_path: Path) -> None:
    write_if_changed(tmp_path / "file", "old", mode=0o600)
    path = write_if_changed(tmp_path / "file", "new", mode=0o600)
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
