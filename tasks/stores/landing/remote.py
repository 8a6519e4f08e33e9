"""Landing places that fsspec reaches: object stores and other remote folders. The only module that talks to fsspec."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from tasks.errors import PerennialError, UsageError
from tasks.stores.landing.folder import FileStat, Warn, path_problem, printable, sort_key

_ETAGS = ("etag", "md5hash", "md5")
_TIMES = ("mtime", "lastmodified", "last_modified", "updated", "modified", "modificationtime", "created")
# Places where a file is not there until it is there whole.
_WHOLE = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "oss", "memory")


class LandingError(PerennialError):
    """A landing place that can't be reached."""


class Remote:
    """A place that fsspec reaches. Credentials come from the environment, as its library reads them."""

    is_local = False

    def __init__(self, url: str) -> None:
        self.address = url.rstrip("/")
        self.is_atomic = url.partition("://")[0] in _WHOLE

    @cached_property
    def _filesystem(self) -> tuple[Any, str]:
        """The file system, and the place's path in it."""
        import fsspec  # type: ignore[import-untyped]  # it ships no types

        try:
            found, root = fsspec.url_to_fs(self.address)
        except ImportError as error:
            raise UsageError(f"{self.address} needs a library that is not installed: {error}.") from None
        return found, str(root).rstrip("/")

    @contextmanager
    def _translate_errors(self, path: str = "") -> Iterator[None]:
        """Tell failures of any file system, each of which has errors of its own, in our words.

        What is about one file alone is passed on: that it is gone, may not be read, or changed while it was read.
        """
        try:
            yield
        except (FileNotFoundError, PerennialError):
            raise
        except Exception as error:
            if path and (isinstance(error, PermissionError) or getattr(error, "errno", None) == errno.EBUSY):
                raise
            reason = (str(error).splitlines() or [""])[0][:300]
            raise LandingError(
                f"{self.address} can't be reached ({type(error).__name__}: {reason}). "
                "Check the address, and the credentials in the environment."
            ) from error

    def prepare(self) -> None:
        """Nothing: object stores have no folders, and others are not ours to make."""

    def files(self, warn: Warn) -> Iterator[FileStat]:
        """All files; see Landing.

        Raises:
            LandingError: the place can't be reached.
        """
        with self._translate_errors():
            system, root = self._filesystem
            system.invalidate_cache()
            try:
                listed = system.find(root, detail=True)
            except FileNotFoundError:
                raise LandingError(f"{self.address} is not there. Make it, or correct the pipeline's YAML.") from None
        found = []
        for name, info in listed.items():
            path = str(name).removeprefix(root + "/")
            problem = path_problem(path)
            if not problem:
                found.append(_file_stat(path, info if info.get("size") is not None else self._info(name)))
            elif info.get("size") or not f"/{path}".endswith("/"):  # an empty one of such a name stands for a folder
                warn(f"{self.address}: {printable(path)} is refused: {problem}.")
        return iter(sorted(found, key=sort_key))

    def _info(self, name: str) -> Mapping[str, Any]:
        """What the place tells of one file where its listing does not tell the size."""
        with self._translate_errors(), suppress(FileNotFoundError):
            return dict(self._filesystem[0].info(name))
        return {}

    def stat(self, path: str) -> FileStat:
        """A file as it is now; see Landing."""
        with self._translate_errors(path):
            system, root = self._filesystem
            system.invalidate_cache()
            return _file_stat(path, system.info(f"{root}/{path}"))

    def uri(self, path: str) -> str:
        """A file's URL."""
        return f"{self.address}/{path}"

    def open_for_writing(self, path: str) -> bool:  # noqa: ARG002  # no store tells
        """No: only a local system tells."""
        return False

    def looks_complete(self, path: str, seconds: float) -> bool:  # noqa: ARG002  # a clock elsewhere proves nothing
        """Where files are there only whole, always."""
        return self.is_atomic

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """A file's bytes."""
        with self._translate_errors(path):
            system, root = self._filesystem
            with system.open(f"{root}/{path}", "rb") as handle:
                yield handle

    @contextmanager
    def local(self, path: str, draft: Path) -> Iterator[Path]:
        """The file in `draft` while the block runs; it is fetched unless it was before."""
        try:
            if not draft.exists():
                with self._translate_errors(path):
                    system, root = self._filesystem
                    system.get_file(f"{root}/{path}", str(draft))
            yield draft
        finally:
            draft.unlink(missing_ok=True)

    def put(self, path: str, local: Path) -> None:
        """Write a file from a local one, in one move."""
        with self._translate_errors(path):
            system, root = self._filesystem
            name = path if self.is_atomic else f".{path}.{uuid4().hex}"
            if not self.is_atomic:
                system.makedirs(root, exist_ok=True)
            system.put_file(str(local), f"{root}/{name}")
            if name != path:
                system.mv(f"{root}/{name}", f"{root}/{path}")


def _file_stat(path: str, info: Mapping[str, Any]) -> FileStat:
    return FileStat(path, int(info.get("size") or 0), change_token(info))


def change_token(info: Mapping[str, Any]) -> int:
    """A number that changes with a remote file's content: from its etag, else from its time of change."""
    properties = {str(name).lower(): value for name, value in info.items() if value not in (None, "")}
    etag = next((properties[name] for name in _ETAGS if name in properties), None)
    changed = next((properties[name] for name in _TIMES if name in properties), None)
    if isinstance(changed, datetime):
        changed = changed.timestamp()
    if etag is None and isinstance(changed, (int, float)):
        return int(changed * 1_000_000_000)
    mark = etag if etag is not None else changed
    return 0 if mark is None else int.from_bytes(hashlib.sha256(str(mark).encode()).digest()[:8]) >> 1
