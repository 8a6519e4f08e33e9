"""Copies of remote files, made while they are read for their content, for the one who reads them next."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tasks.records.data import LandedFile
from tasks.stores.settings import Settings

_MAX_BYTES = 16 << 30
_SUFFIX_LENGTH = 16


def download_path(settings: Settings, pipeline: str, file: LandedFile) -> Path:
    """Where a remote file is copied to while it is read. Its endings are kept: they tell the format."""
    suffixes = "".join(suffix[:_SUFFIX_LENGTH] for suffix in Path(file.path).suffixes[-2:])
    return settings.state / "staging" / f"{pipeline}-{file.sha256}.landed{suffixes}"


class DownloadCache:
    """Drafts of one run, together within 16 GiB and half of what the disk has free; files beyond are fetched again.

    Args:
        settings: Where the state is.
        pipeline: Whose files.
    """

    def __init__(self, settings: Settings, pipeline: str) -> None:
        self._settings, self._pipeline = settings, pipeline
        staging = settings.state / "staging"
        staging.mkdir(parents=True, exist_ok=True)
        self._part = staging / f"{pipeline}-fetched.part"  # goes with what a killed run left: its f is hexadecimal
        self._free_bytes = min(_MAX_BYTES, shutil.disk_usage(staging).free // 2)

    @contextmanager
    def writer(self, size: int) -> Iterator[BinaryIO | None]:
        """Takes the bytes of one file of this size; None where there is no space for it. To be kept or dropped."""
        self.discard()
        if size > self._free_bytes:
            yield None
            return
        with self._part.open("wb") as copy:
            yield copy

    def keep(self, file: LandedFile) -> None:
        """The file that was read last is to be read again: its copy, if there is one, is kept for that."""
        if self._part.exists():
            self._part.replace(download_path(self._settings, self._pipeline, file))
            self._free_bytes -= file.size

    def discard(self) -> None:
        """The file that was read last is not to be read again."""
        self._part.unlink(missing_ok=True)
