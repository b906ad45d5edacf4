"""Writing configuration files that running programs may be watching."""

from pathlib import Path


def write_if_changed(path: Path, content: str, mode: int = 0o644) -> Path:
    """Gives a file its content, atomically, and leaves it untouched when it has that already; returns its
    path.

    kube-proxy, for one, ends itself when its configuration file is written to, even with the same content.
    """
    if path.exists() and path.read_text() == content:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.touch(mode=mode)
    partial.write_text(content)
    partial.rename(path)
    return path
