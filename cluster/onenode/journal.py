"""What `up` changes on the host and `down` must put back, written down before it is changed."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class Journal:
    """Kernel settings with their former values, and folders that were not there before.

    Each change is on disk before it is made, so that a crash at any moment can be undone.
    """

    path: Path
    settings: dict[str, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path) -> "Journal":
        """The journal at `path`; an empty one if there is none."""
        if not path.exists():
            return cls(path)
        content = json.loads(path.read_text())
        return cls(path, content["settings"], content["folders"])

    def set_kernel(self, setting: str, value: str) -> bool:
        """Gives a file under /proc/sys a value; returns False where the kernel does not allow it."""
        file = Path("/proc/sys") / setting
        if file.read_text().strip() == value:
            return True
        if setting not in self.settings:
            self.settings[setting] = file.read_text().strip()
            self._write()
        try:
            file.write_text(value)
        except OSError:
            return False
        return True

    def create_folder(self, folder: Path) -> None:
        """Creates a folder, and remembers it and each parent that was missing."""
        missing = [candidate for candidate in (folder, *folder.parents) if not candidate.exists()]
        if missing:
            self.folders += [str(candidate) for candidate in missing if str(candidate) not in self.folders]
            self._write()
            folder.mkdir(parents=True, exist_ok=True)

    def undo(self) -> None:
        """Puts every setting back, removes the folders that are empty, and then the journal."""
        for setting, value in self.settings.items():
            file = Path("/proc/sys") / setting
            # One that the kernel did not let us change can't be written back, and need not be.
            if file.read_text().strip() != value:
                file.write_text(value)
        for folder in sorted(self.folders, key=len, reverse=True):
            _remove_if_empty(Path(folder))
        self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        content = {name: value for name, value in asdict(self).items() if name != "path"}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(content, indent=1))
        partial.rename(self.path)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
