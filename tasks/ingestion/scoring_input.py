"""The input file of scoring: on local disk, identified by its content."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from pathlib import Path

from configs.source import Limits
from tasks.errors import UsageError
from tasks.ingestion.limits import limit_error
from tasks.records.base import Record
from tasks.records.data import LandedFile
from tasks.stores.landing.addresses import Address

_BLOCK = 1 << 20


class ScoringInput(Record):
    """The input file of scoring.

    Attributes:
        file: The file; `sha256` is of its bytes alone.
        local: Where it can be read: where it lies, or the copy that was fetched.
    """

    file: LandedFile
    local: str


def fetch_input(source: Address, limits: Limits, draft: Path) -> ScoringInput:
    """A file on local disk, its bytes read once; a remote one is fetched into the draft.

    Args:
        source: The file.
        limits: The most that is taken.
        draft: Where a remote one goes.

    Raises:
        UsageError: there is no such file, or it changed while it was read.
        DataRejectedError: it is too large.
    """
    landing, path = source.landing(), source.path
    if path is not None and not path.is_file():
        raise UsageError(f"input: {path} is not a file")
    try:
        status = landing.stat(source.name)
        if status.size > limits.file_bytes:
            raise limit_error(f"{source} has {status.size:,} bytes", "file_bytes", limits.file_bytes)
        sha256 = _read(source, None if path is not None else draft)
        now = landing.stat(source.name)
    except FileNotFoundError:
        raise UsageError(f"input: {source} is not there") from None
    except PermissionError as error:
        raise UsageError(f"input: {source} can't be read: {error.strerror or error}") from None
    if (now.size, now.mtime_ns) != (status.size, status.mtime_ns):
        raise _changed_error(str(source))
    file = LandedFile(
        feed="observations",
        path=source.name,
        uri=str(source),
        size=status.size,
        mtime_ns=status.mtime_ns,
        sha256=sha256,
    )
    return ScoringInput(file=file, local=str(path or draft))


def check_unchanged(scoring_input: ScoringInput) -> None:
    """Check that a local file is unchanged since it was hashed.

    Raises:
        UsageError: it is not.
    """
    path = Path(scoring_input.local)
    if str(path) != scoring_input.file.uri:
        return
    status = path.stat() if path.is_file() else None
    if status is None or (status.st_size, status.st_mtime_ns) != (scoring_input.file.size, scoring_input.file.mtime_ns):
        raise _changed_error(str(path))


def _read(source: Address, draft: Path | None) -> str:
    """SHA-256 of a file, copied to the draft on the way where there is one."""
    hasher = hashlib.sha256()
    with ExitStack() as stack:
        handle = stack.enter_context(source.landing().open(source.name))
        copy = None if draft is None else stack.enter_context(draft.open("wb"))
        while block := handle.read(_BLOCK):
            hasher.update(block)
            if copy is not None:
                copy.write(block)
    return hasher.hexdigest()


def _changed_error(where: str) -> UsageError:
    return UsageError(f"input: {where} changed while it was read. Score it when it is complete.")
