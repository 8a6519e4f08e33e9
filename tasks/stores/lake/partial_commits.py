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


class PartialCommit(NamedTuple):
    """What came of a batch before its run was killed.

    Attributes:
        rows: Numbers of its rows that came in, also of those that another batch has replaced since.
        duplicates: Numbers of its rows that another one stands for.
        superseded: How many rows of the lake it replaced.
    """

    rows: Numbers
    duplicates: Numbers
    superseded: int


def partial_commits(lake: Lake, feed: Feed, batches: Iterable[str]) -> dict[str, PartialCommit]:
    """What came of those batches whose rows are in; the others are left out. The data lock is held.

    Args:
        lake: The pipeline's.
        feed: Which table the rows go to.
        batches: The batches.
    """
    committed = list(lake.transactions(feed, batches))
    if not committed:
        return {}
    mine = pa.array(committed, pa.string())
    rows = lake.read(feed, [BATCH, ROW], where=pc.field(BATCH).isin(mine))
    related = pc.field("by").isin(mine) | pc.field("batch").isin(mine)
    recorded = lake.read("duplicates", ["by", "batch", "row", "kind"], where=related)
    replaced = recorded.filter(pc.equal(recorded.column("kind"), "superseded"))
    others = recorded.filter(pc.not_equal(recorded.column("kind"), "superseded"))
    return {
        one: PartialCommit(
            np.union1d(_numbers(rows, BATCH, one, ROW), _numbers(replaced, "batch", one, "row")),
            _numbers(others, "by", one, "row"),
            replaced.filter(pc.equal(replaced.column("by"), one)).num_rows,
        )
        for one in committed
    }


def _numbers(table: pa.Table, column: str, batch: str, row: str) -> Numbers:
    found = table.filter(pc.equal(table.column(column), batch)).column(row)
    return np.asarray(found.to_numpy(), dtype=np.int64)


def delete_orphan_duplicates(lake: Lake, ledger: Sequence[BatchRecord]) -> int:
    """Delete records of duplicates by batches that did not come in; how many. One that lies there is validated again.

    Args:
        lake: The pipeline's.
        ledger: The batches known.
    """
    if lake.duplicates_match_ledger(ledger):
        return 0
    known = {one.batch for one in ledger if one.verdict == "accepted"}
    named = [one for one in lake.read("duplicates", ["by"]).column("by").unique().to_pylist() if one not in known]
    committed = {one for feed in lake.feeds for one in lake.transactions(feed, named)}
    uncommitted = [f"'{one}'" for one in named if one not in committed]
    return lake.delete("duplicates", f"by IN ({', '.join(uncommitted)})") if uncommitted else 0
