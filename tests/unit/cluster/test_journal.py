"""Changes to the host are written down first, and put back afterwards."""

import errno
from pathlib import Path

import pytest

from onenode.journal import Journal


def test_folders_that_were_missing_are_removed_and_others_are_not(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    journal = Journal.open(tmp_path / "journal.json")
    journal.create_folder(tmp_path / "there" / "made" / "deeper")
    Journal.open(tmp_path / "journal.json").undo()
    assert (tmp_path / "there").is_dir()
    assert not (tmp_path / "there" / "made").exists()


def test_a_folder_that_someone_has_filled_stays(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.json")
    journal.create_folder(tmp_path / "made")
    (tmp_path / "made" / "theirs").write_text("kept")
    journal.undo()
    assert (tmp_path / "made" / "theirs").read_text() == "kept"


def test_the_first_value_of_a_setting_is_the_one_that_is_put_back(tmp_path: Path) -> None:
    setting = tmp_path / "setting"
    setting.write_text("0\n")
    # An absolute path takes the place of /proc/sys.
    assert Journal.open(tmp_path / "journal.json").set_kernel(str(setting), "1")
    assert Journal.open(tmp_path / "journal.json").set_kernel(str(setting), "2")
    assert setting.read_text() == "2"
    Journal.open(tmp_path / "journal.json").undo()
    assert setting.read_text() == "0"


def test_a_setting_that_has_its_value_is_not_recorded(tmp_path: Path) -> None:
    setting = tmp_path / "setting"
    setting.write_text("1\n")
    assert Journal.open(tmp_path / "journal.json").set_kernel(str(setting), "1")
    assert not (tmp_path / "journal.json").exists()


def test_what_the_kernel_does_not_let_us_change_does_not_stop_the_way_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed, changed = tmp_path / "fixed", tmp_path / "changed"
    fixed.write_text("0\n")
    changed.write_text("0\n")
    write = Path.write_text

    def as_the_kernel_does(path: Path, text: str) -> int:
        if path == fixed:
            raise OSError(errno.EROFS, "Read-only file system")
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", as_the_kernel_does)
    journal = Journal.open(tmp_path / "journal.json")
    assert not journal.set_kernel(str(fixed), "1")
    assert journal.set_kernel(str(changed), "1")
    journal.undo()
    assert changed.read_text() == "0"


def test_undoing_removes_the_journal(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.json")
    journal.create_folder(tmp_path / "made")
    journal.undo()
    assert list(tmp_path.iterdir()) == []
