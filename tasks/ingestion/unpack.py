"""A landed file as a plain file of a known format: limits of size, endings, decompression."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple, cast

import pyarrow as pa

from configs.source import COMPRESSIONS, ENDINGS, Compression, Format, Limits, Source
from tasks.errors import DataRejectedError
from tasks.ingestion.limits import check_size, check_unpacked, rejecting_read_errors
from tasks.ingestion.read_errors import check_signature

_BLOCK = 1 << 20
_HEAD = 64


class PlainFile(NamedTuple):
    """A file that a reader can open.

    Attributes:
        path: Where it lies: the landed file, or the draft that it was decompressed into.
        kind: Its format.
        ending: Its name's ending, without that of a compression, in small letters.
    """

    path: Path
    kind: Format
    ending: str


@contextmanager
def unpacked(path: Path, name: str, source: Source, draft: Path) -> Iterator[PlainFile]:
    """A landed file as a plain one, while the block runs.

    Args:
        path: The file.
        name: Its name as it landed.
        source: How the source's files are written.
        draft: Where it may be decompressed to. It is gone after the block.

    Raises:
        DataRejectedError: it is empty, too large, damaged, or of an unknown format.
    """
    size = path.stat().st_size
    if size == 0:
        raise DataRejectedError("the file is empty (0 bytes); expected a header and rows")
    check_size(size, source.limits)
    stem, compression = _compression(PurePosixPath(name).name, source)
    if compression == "none":
        yield _plain_file(path, stem, source)
        return
    draft.parent.mkdir(parents=True, exist_ok=True)
    try:
        with rejecting_read_errors(compression):
            if compression == "zip":
                stem = _unzip(path, stem, source, draft)
            else:
                _decompress(path, compression, source.limits, draft)
        if draft.stat().st_size == 0:
            raise DataRejectedError(f"the file is empty once decompressed ({compression}); expected a header and rows")
        yield _plain_file(draft, stem, source)
    finally:
        draft.unlink(missing_ok=True)


def _compression(name: str, source: Source) -> tuple[str, Compression]:
    """The name without a compression's ending, and how the file is compressed."""
    ending = _ending(name)
    by_ending = COMPRESSIONS.get(ending)
    compression = source.compression or by_ending or "none"
    return (name[: -len(ending)] if by_ending and by_ending == compression else name), compression


def _plain_file(path: Path, name: str, source: Source) -> PlainFile:
    ending = _ending(name)
    kind = source.format or ENDINGS.get(ending)
    if ending == ".xls" and source.format in (None, "excel"):
        raise DataRejectedError("old Excel files (.xls) are not supported; save it as .xlsx")
    if kind is None:
        expected = ", ".join((*ENDINGS, *COMPRESSIONS))
        description = f"the unknown extension {ending!r}" if ending else "no extension"
        shown_name = PurePosixPath(name).name[:100]
        raise DataRejectedError(f"{shown_name!r} has {description}; expected {expected}, or set source.format")
    with path.open("rb") as handle:
        check_signature(handle.read(_HEAD), kind)
    return PlainFile(path, kind, ending)


def _ending(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _decompress(path: Path, compression: Compression, limits: Limits, draft: Path) -> None:
    with path.open("rb") as packed, draft.open("wb") as out:
        check_signature(packed.read(_HEAD), compression)
        packed.seek(0)
        opened = gzip.GzipFile(fileobj=packed) if compression == "gzip" else _zstd(packed)
        _copy(cast("BinaryIO", opened), out, path.stat().st_size, limits)


def _zstd(packed: BinaryIO) -> pa.CompressedInputStream:
    return pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), "zstd")


def _copy(opened: BinaryIO, target: BinaryIO, packed: int, limits: Limits) -> None:
    written = 0
    while block := opened.read(_BLOCK):
        written += len(block)
        check_unpacked(written, packed, limits)
        target.write(block)


def _unzip(path: Path, name: str, source: Source, draft: Path) -> str:
    """Take the one file out of a zip; the name whose ending tells its format."""
    check_zip(path, "zip")
    with zipfile.ZipFile(path) as archive:
        member = _one_member(archive)
        check_unpacked(member.file_size, member.compress_size, source.limits)
        with archive.open(member) as opened, draft.open("wb") as out:
            _copy(cast("BinaryIO", opened), out, member.compress_size, source.limits)
    return name if _ending(name) in ENDINGS else member.filename


def check_zip(path: Path, kind: str) -> None:
    """Refuse a file that has no list of files at its end, as every zip file has.

    Args:
        path: The file.
        kind: What it is to be read as.

    Raises:
        DataRejectedError: it has none.
    """
    if zipfile.is_zipfile(path):
        return
    with path.open("rb") as handle:
        head = handle.read(_HEAD)
    check_signature(head, kind)
    reason = (
        "it is truncated. Land the complete file again"
        if head.startswith(b"PK")
        else ("it is not one, by its bytes. Give it the right extension, or set source.format or source.compression")
    )
    raise DataRejectedError(f"can't be read as {kind}: {reason}.")


def _one_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) != 1:
        shown = ", ".join(repr(member.filename[:60]) for member in members[:5])
        raise DataRejectedError(f"the zip holds {len(members)} files, expected one{f': {shown}' if shown else ''}")
    (member,) = members
    if is_unsafe_name(member.filename):
        raise DataRejectedError(
            f"the zip's file is called {member.filename[:200]!r}; expected a name without '..', control characters "
            "and a leading slash"
        )
    if member.flag_bits & 0x1:
        raise DataRejectedError("the zip is encrypted; expected one without a password")
    return member


def is_unsafe_name(name: str) -> bool:
    """Whether a name inside an archive leads elsewhere or can't be shown."""
    path = PurePosixPath(name.replace("\\", "/"))
    drive = len(name) > 1 and name[1] == ":"
    return path.is_absolute() or drive or ".." in path.parts or not name.isprintable()
