"""Rows as a reader finds them: columns of any type, on their way into the contract's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa

from tasks.ingestion.names import Fields

BROKEN_SHOWN = 1 << 16  # characters of a row that could not be cut into fields


@dataclass(frozen=True)
class RawRows:
    """Some rows of a file, as they are.

    Attributes:
        rows: Their numbers, int64, ascending.
        columns: Columns by the contract's name, of any type. One that is left out is missing.
        kept: Unknown columns that are kept, by the file's name.
        broken: Rows that fit no column: number and complaint.
        kinds: The types that values of a column were found in, where the format says types.
        decimal_comma: Whether numbers that are still text have a decimal comma.
    """

    rows: pa.Array
    columns: Mapping[str, pa.Array]
    kept: Mapping[str, pa.Array] = field(default_factory=dict)
    broken: Mapping[int, str] = field(default_factory=dict)
    kinds: Mapping[str, frozenset[str]] = field(default_factory=dict)
    decimal_comma: bool = False


class Reader(Protocol):
    """An open file."""

    @property
    def names(self) -> Sequence[str]:
        """The names of its columns, as they stand there."""

    @property
    def hint(self) -> str:
        """What a person may have missed where a column is missing; or nothing."""

    @property
    def lines(self) -> int | None:
        """What makes a data row's number its line's, once all rows are read; None where that can't be determined."""

    def batches(self, fields: Fields) -> Iterator[RawRows]:
        """Its rows, some at a time."""


def row_numbers(first: int, rows: int) -> pa.Array:
    """Row numbers from `first` on."""
    return pa.array(np.arange(first, first + rows, dtype=np.int64))


def combine_chunks(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column in one piece."""
    if not isinstance(values, pa.ChunkedArray):
        return values
    if values.num_chunks == 1:
        return values.chunk(0)
    return pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
