"""Duplicate keys in a file, among files and in the lake, and which row is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from tasks.stores.files.hashing import row_hash

Ids = npt.NDArray[np.int64]


class KeyedRows(NamedTuple):
    """Keys, times and content hashes of rows, each attribute of shape (n_rows,).

    Attributes:
        origin: Number of the file they are from; -1: the lake.
        position: Position in the file, or among the lake's rows.
        id: First hash of the key.
        other: Second hash of the key.
        time: Event time in microseconds since 1970; 0 where there is none.
        content: Hash of all of the row's values.
    """

    origin: Ids
    position: Ids
    id: Ids
    other: Ids
    time: Ids
    content: Ids


class DuplicateRows(NamedTuple):
    """Duplicate rows and the row kept for each, each attribute of shape (n_duplicates,)."""

    origin: Ids
    position: Ids
    identical: npt.NDArray[np.bool_]
    kept_origin: Ids
    kept_position: Ids


def keyed_rows(
    table: pa.Table, origin: int, positions: Ids, key: Sequence[str], event_time: str | None, values: Sequence[str]
) -> KeyedRows:
    """Return key, time and content hashes of a table's rows.

    Args:
        table: The rows.
        origin: Number of the file they are from; -1: the lake.
        positions: Their positions, shape (n_rows,).
        key: The key's columns.
        event_time: The column that orders rows by time; None: their order of arrival.
        values: Columns of the content hash.
    """
    times = table.column(event_time).cast(pa.int64()) if event_time in table.column_names else None
    return KeyedRows(
        np.full(table.num_rows, origin, dtype=np.int64),
        positions,
        row_hash(table, key),
        row_hash(table, key, second=True),
        np.zeros(table.num_rows, np.int64) if times is None else np.asarray(times.fill_null(0).to_numpy()),
        row_hash(table, values),
    )


def concat_rows(parts: Sequence[KeyedRows]) -> KeyedRows:
    """Concatenate rows."""
    return KeyedRows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def repeated_ids(ids: Ids) -> Ids:
    """Return the values that occur more than once, sorted. Works in slices of the hash range, to limit memory."""
    parts = []
    slices = max(1, len(ids) // 2_000_000)
    bounds = np.linspace(-(2.0**63), 2.0**63, slices + 1)
    for number in range(slices):
        # Neighbouring slices share a bound: rounding may put a value into both, never into none.
        in_range = ids if slices == 1 else ids[(ids >= bounds[number]) & (ids <= bounds[number + 1])]
        ordered = np.sort(in_range)
        parts.append(np.unique(ordered[1:][ordered[1:] == ordered[:-1]]))
    return np.unique(np.concatenate(parts))


def isin_sorted(ids: Ids, sorted_ids: Ids) -> npt.NDArray[np.bool_]:
    """Return whether each id is in a sorted array, shape (n_ids,)."""
    if not sorted_ids.size:
        return np.zeros(len(ids), dtype=bool)
    positions = np.searchsorted(sorted_ids, ids).clip(max=sorted_ids.size - 1)
    return np.asarray(sorted_ids[positions] == ids)


def find_duplicates(rows: KeyedRows, *, latest: bool, by_event_time: bool) -> DuplicateRows:
    """Find the rows that duplicate another row of the same key.

    Args:
        rows: In order of arrival; those of the lake first.
        latest: Whether the latest row is kept; otherwise the first.
        by_event_time: Whether the latest row is that of the latest event time, then of the greater content hash;
            otherwise the last to arrive.
    """
    frame = pd.DataFrame(rows._asdict()).assign(came=np.arange(len(rows.id)))
    if latest and by_event_time:
        order, ascending = ["id", "other", "time", "content", "came"], [True, True, False, False, True]
    else:
        order, ascending = ["id", "other", "came"], [True, True, not latest]
    ranked = frame.sort_values(order, ascending=ascending, kind="stable")
    groups = ranked.groupby(["id", "other"], sort=False)
    kept = groups[["origin", "position", "time", "content"]].transform("first")
    is_duplicate = (groups.cumcount() > 0).to_numpy()
    identical = ((kept["time"] == ranked["time"]) & (kept["content"] == ranked["content"])).to_numpy()
    return DuplicateRows(
        ranked["origin"].to_numpy()[is_duplicate],
        ranked["position"].to_numpy()[is_duplicate],
        identical[is_duplicate],
        kept["origin"].to_numpy()[is_duplicate],
        kept["position"].to_numpy()[is_duplicate],
    )
