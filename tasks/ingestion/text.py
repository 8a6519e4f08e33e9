"""Text files as a stream of UTF-8 bytes that were looked at: encoding, NUL bytes, the length of lines."""

from __future__ import annotations

import codecs
from pathlib import Path

from configs.source import Limits, Source
from tasks.errors import DataRejectedError
from tasks.ingestion.limits import limit_error

_BYTE_ORDER_MARKS = (  # UTF-32's mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BLOCK = 4 << 20
_SAMPLE = 1 << 14
_UTF_16 = " If it is UTF-16, set source.encoding: utf-16-le or utf-16-be."


def encoding_of(path: Path, source: Source) -> str:
    """A text file's encoding, by Python's name: as given, by its byte order mark, else UTF-8.

    Raises:
        DataRejectedError: the configured encoding is unknown.
    """
    if source.encoding is None:
        with path.open("rb") as handle:
            head = handle.read(4)
        return next((name for bom, name in _BYTE_ORDER_MARKS if head.startswith(bom)), "utf-8")
    try:
        "".encode(source.encoding)  # a codec of bytes, such as hex, is none for text
        return codecs.lookup(source.encoding).name
    except LookupError:
        raise DataRejectedError(
            f"source.encoding: unknown encoding: {source.encoding[:60]}; expected a name that Python knows, such as "
            "cp1252"
        ) from None


class Utf8:
    """A text file's bytes in UTF-8, without a byte order mark: a file object that Arrow reads from.

    Attributes:
        lines: Line ends passed so far.
    """

    def __init__(self, path: Path, encoding: str, limits: Limits, *, newline: bytes = b"\n") -> None:
        self.closed = False
        self.lines = 0
        self._file = path.open("rb")
        self._encoding, self._newline = encoding, newline
        self._plain = encoding in ("utf-8", "utf-8-sig", "ascii")
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._limit = limits.row_bytes
        self._offset = self._open = 0
        self._ready = b""
        self._first = True

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most `size`; none at the end.

        Raises:
            DataRejectedError: the file is not of its encoding, holds a NUL byte, or a line that is too long.
        """
        wanted = _BLOCK if size < 0 else size
        parts, n_bytes = [self._ready], len(self._ready)
        while n_bytes < wanted:
            block = self._block(max(wanted - n_bytes, 1 << 16))
            if block is None:
                break
            parts.append(block)
            n_bytes += len(block)
        joined = parts[0] if len(parts) == 1 else b"".join(parts)
        if len(joined) <= wanted:
            self._ready = b""
            return joined
        self._ready = joined[wanted:]
        return joined[:wanted]

    def readable(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Return False."""
        return False

    def seekable(self) -> bool:
        """Return False."""
        return False

    def close(self) -> None:
        """Close the file."""
        self.closed = True
        self._file.close()

    def _block(self, size: int) -> bytes | None:
        """Some more bytes; None at the end."""
        raw = self._file.read(size)
        block = self._decoded(raw)
        self._offset += len(raw)
        if self._first and block:
            self._first = False
            block = block.removeprefix(codecs.BOM_UTF8)
        nul = block.find(b"\0")
        if nul >= 0:
            line = self.lines + block.count(self._newline, 0, nul) + 1
            raise DataRejectedError(
                f"line {line} holds a NUL byte: a binary file, or text in another encoding.{_UTF_16}"
            )
        self._measure(block)
        self.lines += block.count(self._newline)
        return None if not raw and not block else block

    def _decoded(self, raw: bytes) -> bytes:
        held = self._decoder.getstate()[0]
        if self._plain and raw and not held and raw.isascii():
            return raw
        try:
            text = self._decoder.decode(raw, final=not raw)
        except UnicodeError as error:
            raise self._refusal(raw, held, error) from None
        if not self._plain:
            return text.encode()
        # Bytes of a character that the block cuts come with the next one.
        whole = held + raw
        rest = len(self._decoder.getstate()[0])
        return whole[: len(whole) - rest] if rest else whole

    def _refusal(self, raw: bytes, held: bytes, error: UnicodeError) -> DataRejectedError:
        data = held + raw
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        line = self.lines + data.count(self._newline, 0, start) + 1
        offset = self._offset - len(held) + start
        found = f"byte 0x{data[start]:02x} " if start < len(data) else "the end "
        name = "utf-8" if self._plain else self._encoding
        if isinstance(error, UnicodeDecodeError) and not raw:
            return DataRejectedError(
                f"the text is not {name}: it ends inside a character, at offset {offset:,}, in line {line:,}. "
                "If it is truncated, land the complete file again."
            )
        hint = _hint(data, start) if self._plain else " Correct source.encoding, or the file."
        return DataRejectedError(f"the text is not {name}: {found}at offset {offset:,}, in line {line:,}.{hint}")

    def _measure(self, block: bytes) -> None:
        """Refuse lines that are too long."""
        first, last, before = block.find(self._newline), block.rfind(self._newline), self._open
        if first < 0:
            self._open += len(block)
        elif self._open + first <= self._limit:
            self._open = len(block) - last - 1
            step = max(self._limit // 2, 1)
            windows = range(first, last, step)
            if any(block.find(self._newline, start, start + step) < 0 for start in windows):
                self._open = max(self._open, *map(len, block[first:last].split(self._newline)))
        else:
            self._open += first
        if self._open > self._limit:
            parts = enumerate(block.split(self._newline))
            index = next(index for index, part in parts if len(part) + (0 if index else before) > self._limit)
            description = f"line {self.lines + index + 1:,} has {self._open:,} bytes or more"
            raise limit_error(description, "row_bytes", self._limit)


def _hint(data: bytes, start: int) -> str:
    """Which encoding it may be: that of Windows in the west, if it reads as letters and signs of daily use there."""
    around = data[max(start - _SAMPLE, 0) : start + _SAMPLE]
    if b"\0" in around:
        return f" It holds NUL bytes: a binary file, or text in another encoding.{_UTF_16}"
    try:
        characters = [character for character in around.decode("cp1252") if ord(character) > 127]
    except UnicodeDecodeError:
        return " Save it as UTF-8, or set source.encoding."
    n_common = sum(character.isalpha() or character in "€‚„…†‡‰‘’“”•–—™°§£²³¼½¾«»©®·\xa0´" for character in characters)
    letters_only = data[max(start - _SAMPLE, 0) : start].isascii() and n_common == len(characters)
    return (
        " It may be Windows text: set source.encoding: cp1252."
        if letters_only
        else (" Save it as UTF-8, or set source.encoding.")
    )
