"""Folders of one's own for files on their way, which no kill leaves behind for good."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def workspace(root: Path) -> Iterator[Path]:
    """An empty folder while the block runs. Those that killed processes left in the same place are removed first.

    Args:
        root: Where such folders are made; a local disk.
    """
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root):  # so that nobody takes a folder for left between its making and its locking
        for left in root.iterdir():
            _remove_left(left)
        folder = Path(tempfile.mkdtemp(dir=root))
        held = _lock(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        os.close(held)


def _remove_left(folder: Path) -> None:
    """Remove a folder that no living process has locked."""
    try:
        handle = _lock(folder)
    except (BlockingIOError, FileNotFoundError):
        return
    try:
        shutil.rmtree(folder)
    finally:
        os.close(handle)


def _lock(folder: Path, more: int = fcntl.LOCK_NB) -> int:
    """Lock a folder until the handle is closed, or the process ends, however it ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | more)
    except OSError:
        os.close(handle)
        raise
    return handle


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = _lock(folder, 0)
    try:
        yield
    finally:
        os.close(handle)
