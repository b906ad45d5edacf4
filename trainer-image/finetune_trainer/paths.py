"""How paths are told to people: relative to the volume in a cluster, as they are elsewhere."""

from pathlib import Path

from finetune_api.resolved import OUTPUT_MOUNT, STORAGE_MOUNT


def volume_path(path: Path) -> str:
    """The path relative to the root of the storage or output volume; unchanged outside of them."""
    for mount in (STORAGE_MOUNT, OUTPUT_MOUNT):
        if path.is_relative_to(mount):
            return path.relative_to(mount).as_posix()
    return str(path)
