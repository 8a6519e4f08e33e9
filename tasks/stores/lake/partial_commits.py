"""Batches that a killed run left half-way: rows of theirs came in, and the ledger does not know them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tasks.records.data import BatchRecord, Feed
from tasks.stores.lake.schemas import BATCH, ROW
from tasks.stores.lake.tables import Lake

Numbers = npt.NDArray[np.int64]


class Halfway(NamedTuple):
    """What came of a batch before its run was killed.

    Attributes:
        rows: Numbers of its rows that came in, also of those that another batch has replaced since.
        duplicates: Numbers of its rows that another one stands for.
        superseded: How many rows of the lake it replaced.
    """

    rows: Numbers
    duplicates: Numbers
    superseded: int


def halfway(lake: Lake, feed: Feed, batches: Iterable[str]) -> dict[str, Halfway]:
    """What came of those batches whose rows are in; the others are left out. The data lock is held.

    Args:
        lake: The pipeline's.
        feed: Which table the rows go to.
        batches: The batches.
    """
    left = list(lake.transactions(feed, batches))
    if not left:
        return {}
    mine = pa.array(left, pa.string())
    rows = lake.read(feed, [BATCH, ROW], where=pc.field(BATCH).isin(mine))
    about = pc.field("by").isin(mine) | pc.field("batch").isin(mine)
    recorded = lake.read("duplicates", ["by", "batch", "row", "kind"], where=about)
    replaced = recorded.filter(pc.equal(recorded.column("kind"), "superseded"))
    others = recorded.filter(pc.not_equal(recorded.column("kind"), "superseded"))
    return {
        one: Halfway(
            np.union1d(_numbers(rows, BATCH, one, ROW), _numbers(replaced, "batch", one, "row")),
            _numbers(others, "by", one, "row"),
            replaced.filter(pc.equal(replaced.column("by"), one)).num_rows,
        )
        for one in left
    }


def _numbers(table: pa.Table, column: str, batch: str, row: str) -> Numbers:
    found = table.filter(pc.equal(table.column(column), batch)).column(row)
    return np.asarray(found.to_numpy(), dtype=np.int64)


def forget(lake: Lake, ledger: Sequence[BatchRecord]) -> int:
    """Delete records of duplicates by batches that did not come in; how many. One that lies there is judged again.

    Args:
        lake: The pipeline's.
        ledger: The batches known.
    """
    if lake.balanced(ledger):
        return 0
    known = {one.batch for one in ledger if one.verdict == "accepted"}
    named = [one for one in lake.read("duplicates", ["by"]).column("by").unique().to_pylist() if one not in known]
    came = {one for feed in lake.feeds for one in lake.transactions(feed, named)}
    gone = [f"'{one}'" for one in named if one not in came]
    return lake.delete("duplicates", f"by IN ({', '.join(gone)})") if gone else 0
