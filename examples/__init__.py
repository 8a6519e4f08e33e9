"""Example data sources: each module lands files in a folder, as an upstream system would."""

from pathlib import Path


def write_atomically(path: Path, content: bytes) -> Path:
    """Write `content` to `path`, so that a watcher of the folder sees the whole file or none; return `path`.

    The folder is created where absent. Raises OSError where the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, for a rename is atomic only within one file system. Path.glob("*.csv") does list names that
    # begin with a dot, hence the suffix besides.
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
