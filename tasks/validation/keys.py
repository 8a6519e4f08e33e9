"""Which row stands for its key, where several rows have the same one: in a file, among files, in the lake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from tasks.stores.files.hashing import row_hash

Ids = npt.NDArray[np.int64]


class Rows(NamedTuple):
    """Rows as far as their keys, times and contents go, each attribute of shape (n_rows,).

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


class Losers(NamedTuple):
    """Rows that another one stands for, and which, each attribute of shape (n_losers,)."""

    origin: Ids
    position: Ids
    identical: npt.NDArray[np.bool_]
    kept_origin: Ids
    kept_position: Ids


def describe(
    table: pa.Table, origin: int, positions: Ids, key: Sequence[str], event_time: str | None, values: Sequence[str]
) -> Rows:
    """Rows of a table that has the key, the event time and all values.

    Args:
        table: The rows.
        origin: Number of the file they are from; -1: the lake.
        positions: Their positions, shape (n_rows,).
        key: The key's columns.
        event_time: The column that says which of two rows is later; None: the one that came later.
        values: Columns that are a row's content.
    """
    times = table.column(event_time).cast(pa.int64()) if event_time in table.column_names else None
    return Rows(
        np.full(table.num_rows, origin, dtype=np.int64),
        positions,
        row_hash(table, key),
        row_hash(table, key, second=True),
        np.zeros(table.num_rows, np.int64) if times is None else np.asarray(times.fill_null(0).to_numpy()),
        row_hash(table, values),
    )


def joined(parts: Sequence[Rows]) -> Rows:
    """Several rows as one."""
    return Rows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def repeated(ids: Ids) -> Ids:
    """Values that stand more than once, sorted. Looked for in slices of the hashes' range, so that little is copied."""
    found = []
    slices = max(1, len(ids) // 2_000_000)
    bounds = np.linspace(-(2.0**63), 2.0**63, slices + 1)
    for number in range(slices):
        # Neighbouring slices share a bound: rounding may put a value into both, never into none.
        mine = ids if slices == 1 else ids[(ids >= bounds[number]) & (ids <= bounds[number + 1])]
        ordered = np.sort(mine)
        found.append(np.unique(ordered[1:][ordered[1:] == ordered[:-1]]))
    return np.unique(np.concatenate(found))


def among(ids: Ids, wanted: Ids) -> npt.NDArray[np.bool_]:
    """Whether each id is one of some sorted ones, shape (n_ids,)."""
    if not wanted.size:
        return np.zeros(len(ids), dtype=bool)
    place = np.searchsorted(wanted, ids).clip(max=wanted.size - 1)
    return np.asarray(wanted[place] == ids)


def losers(rows: Rows, *, latest: bool, timed: bool) -> Losers:
    """The rows that another of the same key stands for.

    Args:
        rows: In the order they came; those of the lake first.
        latest: Whether the latest row stays; if not, the first.
        timed: Whether the event time says what is latest, then, of equal times, the greater hash of the content; if
            not, the row that came last is.
    """
    frame = pd.DataFrame(rows._asdict()).assign(came=np.arange(len(rows.id)))
    if latest and timed:
        order, ascending = ["id", "other", "time", "content", "came"], [True, True, False, False, True]
    else:
        order, ascending = ["id", "other", "came"], [True, True, not latest]
    ranked = frame.sort_values(order, ascending=ascending, kind="stable")
    groups = ranked.groupby(["id", "other"], sort=False)
    kept = groups[["origin", "position", "time", "content"]].transform("first")
    lost = (groups.cumcount() > 0).to_numpy()
    same = ((kept["time"] == ranked["time"]) & (kept["content"] == ranked["content"])).to_numpy()
    return Losers(
        ranked["origin"].to_numpy()[lost],
        ranked["position"].to_numpy()[lost],
        same[lost],
        kept["origin"].to_numpy()[lost],
        kept["position"].to_numpy()[lost],
    )
