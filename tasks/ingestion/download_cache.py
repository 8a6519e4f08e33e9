"""Cache of remote files that were downloaded to compute their content hashes."""

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
    """Return the path of a remote file's copy. Extensions are kept, as they define the format."""
    suffixes = "".join(suffix[:_SUFFIX_LENGTH] for suffix in Path(file.path).suffixes[-2:])
    return settings.state / "staging" / f"{pipeline}-{file.sha256}.landed{suffixes}"


class DownloadCache:
    """Copies of one run, limited to 16 GiB and half of the free disk space; other files are downloaded again.

    Args:
        settings: Where the state is.
        pipeline: Whose files.
    """

    def __init__(self, settings: Settings, pipeline: str) -> None:
        self._settings, self._pipeline = settings, pipeline
        staging = settings.state / "staging"
        staging.mkdir(parents=True, exist_ok=True)
        self._part = staging / f"{pipeline}-fetched.part"  # matched by the cleanup: its f is hexadecimal
        self._free_bytes = min(_MAX_BYTES, shutil.disk_usage(staging).free // 2)

    @contextmanager
    def writer(self, size: int) -> Iterator[BinaryIO | None]:
        """Open a file for a copy of this size; None if it exceeds the limit. Then call `keep` or `discard`."""
        self.discard()
        if size > self._free_bytes:
            yield None
            return
        with self._part.open("wb") as copy:
            yield copy

    def keep(self, file: LandedFile) -> None:
        """Keep the last copy, if there is one, for the next reader."""
        if self._part.exists():
            self._part.replace(download_path(self._settings, self._pipeline, file))
            self._free_bytes -= file.size

    def discard(self) -> None:
        """Discard the last copy."""
        self._part.unlink(missing_ok=True)
