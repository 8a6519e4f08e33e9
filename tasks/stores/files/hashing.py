"""Stable 64-bit hashes of values: the same on every machine and in every process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

_MIX = np.uint64(0x9E3779B97F4A7C15)
_FIRST_KEY, _SECOND_KEY = "0123456789123456", "perennial second"  # sixteen characters; the first is pandas' own


def row_hash(table: pa.Table, columns: Sequence[str], *, second: bool = False) -> npt.NDArray[np.int64]:
    """Hash of each row over some columns, shape (n_rows,). Equal typed values hash equally, whatever the chunks.

    Args:
        table: The rows.
        columns: Names of the columns.
        second: Another hash, independent of the first: equal in both means equal rows, however many there are.
    """
    factor, key = (np.uint64(0x100000001B3), _SECOND_KEY) if second else (np.uint64(31), _FIRST_KEY)
    total = np.zeros(table.num_rows, dtype=np.uint64)
    for name in columns:
        total = (total * factor) ^ (_column_hash(table.column(name), key) + _MIX)
    return total.view(np.int64)


def position_hash(content: str, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Hash of row numbers within one content (hexadecimal digest), shape (n_rows,)."""
    base = np.uint64(int(content[:16], 16))
    return (pd.util.hash_array(rows.astype(np.uint64)) ^ base).view(np.int64)


def unit_interval(hashes: npt.NDArray[np.int64], salt: int) -> npt.NDArray[np.float64]:
    """Hashes as numbers in [0, 1), mixed anew by a salt, shape (n_rows,)."""
    mixed = pd.util.hash_array(hashes.view(np.uint64) ^ pd.util.hash_array(np.array([salt], dtype=np.uint64)))
    return (mixed >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def _column_hash(column: pa.ChunkedArray, key: str) -> npt.NDArray[np.uint64]:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _text_hash(column, key)
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", tz=kind.tz)).cast(pa.int64())
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.int64())
    if pa.types.is_floating(kind):
        # Adding 0 turns -0.0 into 0.0; missing values are NaN, which hashes alike.
        return pd.util.hash_array(np.asarray(column.to_numpy(), dtype=np.float64) + 0.0)
    # Without its missing values a column of integers stays one of integers.
    present: npt.NDArray[Any] = column.fill_null(0).to_numpy()
    hashes = pd.util.hash_array(present)
    return np.where(column.is_null().to_numpy(), np.uint64(0), hashes)


def _text_hash(column: pa.ChunkedArray, key: str) -> npt.NDArray[np.uint64]:
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    words = encoded.dictionary.to_numpy(zero_copy_only=False).astype(object)
    hashes = pd.util.hash_array(words, hash_key=key, categorize=False) if len(words) else np.zeros(0, dtype=np.uint64)
    codes: npt.NDArray[np.int64] = encoded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
    padded: npt.NDArray[np.uint64] = np.append(hashes, np.uint64(0))
    return np.take(padded, codes)
