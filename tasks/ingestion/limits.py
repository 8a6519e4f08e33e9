"""Limits on files, and the distinction of data errors from system errors."""

from __future__ import annotations

import errno
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from configs.source import Limits
from tasks.errors import DataRejectedError
from tasks.ingestion.read_errors import first_line, read_error_message

# Raised by readers on invalid data.
_DATA_ERRORS = (
    pa.ArrowException,
    OSError,
    ValueError,
    LookupError,
    EOFError,
    MemoryError,
    OverflowError,
    RecursionError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)
# System errors: the run fails and is retried.
_SYSTEM_ERRORS = {
    errno.ENOENT, errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM,
    errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EROFS, errno.EFBIG, errno.EINTR,
}  # fmt: skip


@contextmanager
def rejecting_read_errors(kind: str) -> Iterator[None]:
    """Convert read errors to rejections of the file.

    Args:
        kind: What the file is read as.

    Raises:
        DataRejectedError: the bytes are at fault.
        OSError: the machine is.
    """
    try:
        yield
    except _DATA_ERRORS as error:
        if isinstance(error, OSError) and error.errno in _SYSTEM_ERRORS:
            raise
        raise DataRejectedError(read_error_message(kind, first_line(error))) from None


def limit_error(found: str, limit_name: str, limit: int | float) -> DataRejectedError:
    """Return the error of a file that exceeds a limit.

    Args:
        found: What was found: "3 columns".
        limit_name: The limit's name in source.limits.
        limit: What it is.
    """
    shown = f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"
    return DataRejectedError(f"{found}; the limit is {shown}. To accept such files, raise source.limits.{limit_name}.")


def check_size(size: int, limits: Limits) -> None:
    """Check the size of a file.

    Raises:
        DataRejectedError: it is.
    """
    if size > limits.file_bytes:
        raise limit_error(f"the file has {size:,} bytes", "file_bytes", limits.file_bytes)


def check_rows(rows: int, limits: Limits) -> None:
    """Check the number of rows.

    Raises:
        DataRejectedError: it is one.
    """
    if rows > limits.rows:
        raise limit_error(f"the file has {rows:,} rows or more", "rows", limits.rows)


def check_columns(columns: int, limits: Limits) -> None:
    """Check the number of columns.

    Raises:
        DataRejectedError: it is one.
    """
    if columns > limits.columns:
        raise limit_error(f"the file has {columns:,} columns", "columns", limits.columns)


def check_unpacked(size: int, packed: int, limits: Limits) -> None:
    """Check size and ratio of decompressed data.

    Args:
        size: Bytes decompressed so far, or declared.
        packed: Bytes that they come from.
        limits: The limits.

    Raises:
        DataRejectedError: it does.
    """
    if size > limits.decompressed_bytes:
        raise limit_error(
            f"decompressed, the file has {size:,} bytes or more", "decompressed_bytes", limits.decompressed_bytes
        )
    if size > _RATIO_MIN_BYTES and size > packed * limits.ratio:
        raise limit_error(
            f"the file grows to {size / max(packed, 1):,.0f} times its size or more", "ratio", limits.ratio
        )


_RATIO_MIN_BYTES = 16 << 20
