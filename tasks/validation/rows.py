"""Staged rows in pieces, for bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from tasks.stores.lake import staging

CHUNK_ROWS = 1 << 20
_CHUNK_BYTES = 256 << 20


class Piece(NamedTuple):
    """Neighbouring rows of one staged file.

    Attributes:
        file: Number of the file.
        start: Position of the first row in it.
    """

    file: int
    start: int
    rows: pa.RecordBatch

    @property
    def positions(self) -> slice:
        """Positions of the rows in the file."""
        return slice(self.start, self.start + self.rows.num_rows)


class StagedRows:
    """The staged rows of one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.schema = staging.schema(path)

    def pieces(self, file: int, columns: Sequence[str] | None = None) -> Iterator[Piece]:
        """Iterate over the rows in order.

        Args:
            file: Index to set on the pieces.
            columns: Names; unknown ones are ignored. None: all.
        """
        start = 0
        for batch in staging.batches(self._path, columns):
            for offset in range(0, batch.num_rows, CHUNK_ROWS):
                rows = batch.slice(offset, CHUNK_ROWS)
                yield Piece(file, start, rows)
                start += rows.num_rows

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Read whole columns."""
        schema = pa.schema([field for field in self.schema if field.name in names])
        return pa.Table.from_batches([piece.rows for piece in self.pieces(0, names)], schema)


def row_chunks(files: Sequence[StagedRows]) -> Iterator[list[Piece]]:
    """Iterate over all rows of several files, in lists of small neighbouring pieces."""
    chunk: list[Piece] = []
    rows = size = 0
    for number, file in enumerate(files):
        for piece in file.pieces(number):
            n_rows, n_bytes = piece.rows.num_rows, piece.rows.nbytes
            if chunk and (rows + n_rows > CHUNK_ROWS or size + n_bytes > _CHUNK_BYTES):
                yield chunk
                chunk, rows, size = [], 0, 0
            chunk.append(piece)
            rows, size = rows + n_rows, size + n_bytes
    if chunk:
        yield chunk
