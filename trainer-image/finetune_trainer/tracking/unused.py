"""What some trackers have no use for."""

from pathlib import Path


class NoUploads:
    """A tracker that stores no files; validation refuses `logArtifacts` for it."""

    def upload(self, directory: Path, name: str) -> None:
        """Raises `NotImplementedError`."""
        raise NotImplementedError(f"{type(self).__name__} stores no files ({name})")
