"""File signatures, and actionable messages for the errors of file readers."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tasks.errors import DataRejectedError

_TEXT = frozenset({"csv", "jsonl"})
# Those that a text might begin with are distinguished by the bytes that follow.
_MAGIC: Mapping[bytes, tuple[str, frozenset[str]]] = {
    b"PK\x03\x04": ("a zip or Excel file", frozenset({"zip", "excel"})),
    b"PK\x05\x06": ("a zip file without anything in it", frozenset({"zip", "excel"})),
    b"\x1f\x8b": ("a gzip file", frozenset({"gzip"})),
    b"\x28\xb5\x2f\xfd": ("a zstd file", frozenset({"zstd"})),
    b"PAR1\x15": ("a parquet file", frozenset({"parquet"})),
    b"ARROW1\0\0": ("a feather file", frozenset({"feather"})),
    b"FEA1\0": ("a feather file", frozenset({"feather"})),
    b"\xd0\xcf\x11\xe0": ("an old Excel file", frozenset({"excel"})),
    b"SQLite format 3\0": ("an SQLite file", frozenset()),
    b"%PDF-": ("a PDF file", frozenset()),
    b"\x89PNG\r\n": ("a picture", frozenset()),
    b"\xff\xd8\xff": ("a picture", frozenset()),
    b"\x7fELF": ("a program", frozenset()),
    b"BZh91AY&SY": ("a bzip2 file", frozenset()),
    b"\xfd7zXZ\0": ("an xz file", frozenset()),
    b"7z\xbc\xaf": ("a 7z file", frozenset()),
    b"Rar!\x1a\x07": ("a rar file", frozenset()),
    b"Obj\x01": ("an Avro file", frozenset()),
    b"ORC\0": ("an ORC file", frozenset()),
}
_MARKUP = {b"<!doctype html": "a page of HTML", b"<html": "a page of HTML", b"<?xml": "an XML file"}
# Every file of these kinds begins so; b".*M\x18" begins a frame of zstd that is skipped.
_REQUIRED_SIGNATURES = {"gzip": rb"\x1f\x8b", "zstd": rb"\x28\xb5\x2f\xfd|.\x2a\x4d\x18", "parquet": b"PAR1"}
_SIGNATURE_BYTES = 64

_TRUNCATED = "it is truncated. Land the complete file again"
_MODIFIED = "its checksum does not match its content: it was changed in transfer. Land it again"
_NO_FOOTER = "its footer is missing: it is truncated, or its end was overwritten. Land the complete file again"
_RECREATE = "It is damaged, or not what its name says: create it again"
# Patterns in the errors of readers, and messages that replace the whole error or a part of it.
_MESSAGES = {
    r"ended before the end-of-stream|Truncated compressed stream|Truncated file header|No more data to "
    r"read": _TRUNCATED,
    r"CRC|Incorrect length of data": _MODIFIED,
    r"Not a gzipped file|Unknown frame descriptor": "other bytes follow its end. Land it again without them",
    r"magic bytes not found in footer|size reported by footer": _NO_FOOTER,
    r"EntitiesForbidden": "it defines XML entities, which Excel files do not have. Save it in Excel again",
    r"encrypted metadata": "it is encrypted; expected one that is not",
    r"Dictionary mismatch": "it was compressed with a dictionary of its own; expected one without",
    r"[Uu]nknown compression method|compression method is not supported": "its compression method is not known; "
    "make it anew with the usual one",
}
_FRAGMENTS = {
    r"Couldn't deserialize thrift.*|Invalid base64.*": "its footer can't be parsed",
    r"Verification of flatbuffer.*|Expected to read \d+ metadata.*|Tried reading schema.*|Not an Arrow file|Invalid "
    r"IPC.*|Unexpected empty message.*": "its structure can't be parsed",
    r"list index out of range": "a cell refers to something that does not exist",
    r"Error -?\d+ while decompressing data: (.*)": r"its compressed bytes are invalid (\1)",
    r"ZSTD decompress failed: (.*)": r"its compressed bytes are invalid (\1)",
    r"((?:no element found|syntax error|unclosed token|not well-formed|mismatched tag|undefined entity).*)": r"the XML "
    r"of one of its parts is broken (\1)",
}


def check_signature(head: bytes, kind: str) -> None:
    """Check that a file's first bytes are not those of another kind of file.

    Args:
        head: Its first bytes, 64 or more.
        kind: What it is to be read as: a format or a compression.

    Raises:
        DataRejectedError: they are.
    """
    description = next(
        (description for magic, (description, kinds) in _MAGIC.items() if head.startswith(magic) and kind not in kinds),
        "",
    )
    if not description and kind in _TEXT:
        start = head.lstrip(b"\xef\xbb\xbf \r\n").lower()
        description = next((description for prefix, description in _MARKUP.items() if start.startswith(prefix)), "")
    if description:
        raise DataRejectedError(
            f"can't be read as {kind}: it is {description}, by its first bytes. Give it the right extension, or set "
            "source.format or source.compression."
        )
    if kind in _REQUIRED_SIGNATURES and not re.match(_REQUIRED_SIGNATURES[kind], head, re.DOTALL):
        raise DataRejectedError(
            f"can't be read as {kind}: its first bytes, {head[:4]!r}, are not those of a {kind} file. Give it its own "
            "ending, or set source.format or source.compression."
        )


def read_error_message(kind: str, reason: str) -> str:
    """Return the message for a file that can't be read.

    Args:
        kind: What it is read as.
        reason: What its reader says, in one line.
    """
    for pattern, message in _MESSAGES.items():
        if re.search(pattern, reason):
            return f"can't be read as {kind}: {message}."
    reason = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", reason.strip(' ."'))
    for pattern, message in _FRAGMENTS.items():
        reason = re.sub(pattern, message, reason)
    return f"can't be read as {kind}: {reason}. {_RECREATE}."


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or of its root cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    line = next((text for text in str(error).splitlines() if text.strip()), type(error).__name__)
    return "".join(text if text.isprintable() else "\ufffd" for text in line)[:300]
