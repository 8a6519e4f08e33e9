"""Landing places: what each can do, and local folders."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from tasks.errors import UsageError

Warn = Callable[[str], None]
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NO_TEXT = re.compile("[\ud800-\udfff]")  # what Python makes of bytes in a name that are not UTF-8


class FileStat(NamedTuple):
    """A file in a landing place.

    Attributes:
        path: Relative to the place, with slashes.
        size: Bytes.
        mtime_ns: Time of its last change, nanoseconds since 1970; of a remote file any number that changes with it.
    """

    path: str
    size: int
    mtime_ns: int

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]


class Landing(Protocol):
    """A place that files land in.

    Attributes:
        address: The folder's absolute path, or the URL.
        whole: Whether a file is not there until it is there whole.
        near: Whether files lie on this machine, so that reading one twice is no matter.
    """

    address: str
    is_atomic: bool
    is_local: bool

    def prepare(self) -> None:
        """Make the folder, where it is a local one."""

    def files(self, warn: Warn) -> Iterator[FileStat]:
        """All files, also in folders below, sorted by path; a link counts where it leads to a file of this place.

        What is refused for its name, or for where its link leads, is reported.
        """

    def stat(self, path: str) -> FileStat:
        """A file as it is now; FileNotFoundError where it is gone."""

    def uri(self, path: str) -> str:
        """A file's absolute path or URL."""

    def open_for_writing(self, path: str) -> bool:
        """Whether a process has the file open for writing, as far as the system tells."""

    def looks_complete(self, path: str, seconds: float) -> bool:
        """Whether a file looks complete at the first look: renamed into the place, or as old as `seconds`."""

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """A file's bytes."""

    def local(self, path: str, draft: Path) -> AbstractContextManager[Path]:
        """A file on local disk while the block runs: as it lies there, or in `draft`, fetched unless it is there."""


def path_problem(path: str) -> str:
    """Why no file of this path, relative to its place, is taken; nothing where it may be."""
    if _NO_TEXT.search(path):
        return "a name that is not UTF-8"
    if _CONTROL.search(path):
        return "a name with control characters"
    return "a path with '.', '..' or '//' in it" if {"", ".", ".."} & set(path.split("/")) else ""


def printable(path: str) -> str:
    """A path as it can be printed, whatever is in it."""
    return path if path.isprintable() else ascii(path)


def is_url(place: str) -> bool:
    """Whether a landing place is given as a URL."""
    return "://" in place


def open_landing(address: str) -> Landing:
    """A landing place by its address, as Settings.landing tells it."""
    if not is_url(address):
        return Folder(Path(address))
    from tasks.stores.landing.remote import Remote  # fsspec is for those who need it

    return Remote(address)


class Folder:
    """A local folder."""

    is_atomic = False
    is_local = True

    def __init__(self, root: Path) -> None:
        self.root = root
        self.address = str(root)

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            UsageError: it can't be made.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"{self.root} can't be made ({error.strerror or error}); expected a folder that files land in. "
                "Correct the landing of the pipeline's YAML, or the folder's rights."
            ) from None

    def files(self, warn: Warn) -> Iterator[FileStat]:
        """All files; see Landing."""
        found = list(_walk(self.address, "", os.path.realpath(self.root), warn))
        return iter(sorted(found, key=sort_key))

    def stat(self, path: str) -> FileStat:
        """A file as it is now; see Landing."""
        status = (self.root / path).stat()
        return FileStat(path, status.st_size, status.st_mtime_ns)

    def holds(self, path: str) -> bool:
        """Whether it is a file of this place, no folder and no link that leads out of it."""
        full = self.root / path
        return (
            not path_problem(path) and full.is_file() and _inside(os.path.realpath(full), os.path.realpath(self.root))
        )

    def uri(self, path: str) -> str:
        """A file's absolute path."""
        return str(self.root / path)

    def open_for_writing(self, path: str) -> bool:
        """Whether a process has the file open for writing; see Landing."""
        return _open_for_writing(self.root / path)

    def looks_complete(self, path: str, seconds: float) -> bool:
        """Whether a file looks complete at the first look; see Landing."""
        status = (self.root / path).stat()
        # A write sets both times. Only the second one changes with a rename, and where a copy restores the first.
        return status.st_ctime_ns > status.st_mtime_ns or time.time() - status.st_mtime >= seconds

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """A file's bytes."""
        return (self.root / path).open("rb")

    @contextmanager
    def local(self, path: str, draft: Path) -> Iterator[Path]:  # noqa: ARG002  # it needs no draft
        """The file where it lies."""
        yield self.root / path


def _walk(folder: str, prefix: str, root: str, warn: Warn) -> Iterator[FileStat]:
    try:
        with os.scandir(folder) as listing:
            entries = list(listing)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        warn(f"{printable(folder)} can't be listed: {error.strerror or error}. It is tried again with the next run.")
        return
    for entry in entries:
        try:
            problem = path_problem(entry.name) or _link_problem(entry, root)
            if not problem and entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, f"{prefix}{entry.name}/", root, warn)
            elif not problem and entry.is_file():
                status = entry.stat()
                yield FileStat(prefix + entry.name, status.st_size, status.st_mtime_ns)
            elif not problem and not entry.is_dir():
                problem = "it is no regular file"
        except FileNotFoundError:
            continue  # it was taken away since the folder was listed
        except OSError as error:
            problem = f"{error.strerror or error}"
        if problem and not entry.name.startswith((".", "_")):  # of those no file is taken anyway
            warn(f"{printable(entry.path)} is refused: {problem}.")


def _link_problem(entry: os.DirEntry[str], root: str) -> str:
    """Why a link is not followed; nothing where it may be, or is none."""
    if not entry.is_symlink():
        return ""
    try:
        real = os.path.realpath(entry.path, strict=True)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "a link that leads in a circle"
        return "a link that leads nowhere" if error.errno == errno.ENOENT else f"a link: {error.strerror or error}"
    return "" if _inside(real, root) else "a link that leads out of the landing folder"


def _inside(path: str, root: str) -> bool:
    return path.startswith(root.rstrip("/") + "/")


def sort_key(found: FileStat) -> list[str]:
    """What files are sorted by."""
    return found.path.split("/")


def _open_for_writing(path: Path) -> bool:
    """Whether a process has a file open for writing.

    Linux gives a read lease only on a file that nobody writes to. Where a file system or the file's owner does not
    let us ask, it counts as not written to.
    """
    if sys.platform != "linux":
        return False
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False  # gone, or not to be read: whoever reads it will say so
    try:
        # Someone who opens it for writing meanwhile makes the kernel signal us; by default with SIGIO, which kills.
        fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)  # gives the lease back
    return False
