"""Staged rows in pieces: what is read at once stays small, however large the file."""

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
        """Where in the file the rows are."""
        return slice(self.start, self.start + self.rows.num_rows)


class Staged:
    """The staged rows of one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.schema = staging.schema(path)

    def pieces(self, file: int, columns: Sequence[str] | None = None) -> Iterator[Piece]:
        """The rows in order, some columns of them or all.

        Args:
            file: Number that the pieces are to carry.
            columns: Names; those it lacks are left out.
        """
        start = 0
        for batch in staging.batches(self._path, columns):
            for offset in range(0, batch.num_rows, CHUNK_ROWS):
                rows = batch.slice(offset, CHUNK_ROWS)
                yield Piece(file, start, rows)
                start += rows.num_rows

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Whole columns."""
        schema = pa.schema([field for field in self.schema if field.name in names])
        return pa.Table.from_batches([piece.rows for piece in self.pieces(0, names)], schema)


def chunks(files: Sequence[Staged]) -> Iterator[list[Piece]]:
    """All rows of several files, small neighbours together: asking costs more than rows do."""
    gathered: list[Piece] = []
    rows = size = 0
    for number, file in enumerate(files):
        for piece in file.pieces(number):
            more, bytes_more = piece.rows.num_rows, piece.rows.nbytes
            if gathered and (rows + more > CHUNK_ROWS or size + bytes_more > _CHUNK_BYTES):
                yield gathered
                gathered, rows, size = [], 0, 0
            gathered.append(piece)
            rows, size = rows + more, size + bytes_more
    if gathered:
        yield gathered
