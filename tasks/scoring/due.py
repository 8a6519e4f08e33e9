"""Which batches of observations a version has yet to score, and under which transactions its rows are written.

A batch's own id is the transaction of the champion that scored it when it was new; the id with a version's number is
that of the version's rows. Both are written in one commit, so that nobody writes the rows a second time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from tasks.records.data import BatchRecord
from tasks.stores.lake.delta import RowStream, TransactionRows
from tasks.stores.lake.schemas import TableName
from tasks.stores.lake.tables import Lake

_TABLE: TableName = "predictions"
_GROUP_ROWS = 250_000


def unscored(lake: Lake, version: int, after: int | None) -> list[BatchRecord]:
    """Accepted batches of observations that are due.

    Args:
        lake: The pipeline's.
        version: The version that is to score.
        after: The number of a batch: what came later and was scored by no champion is due. None: whatever this
            version has not scored.
    """
    ledger = [one for one in lake.ledger() if one.verdict == "accepted" and one.feed == "observations"]
    champions = lake.transactions(_TABLE, (one.batch for one in ledger))
    if after is not None:
        return [one for one in ledger if one.seq > after and one.batch not in champions]
    fresh = [one for one in ledger if champions.get(one.batch) != version]
    return not_by(lake, version, fresh)


def not_by(lake: Lake, version: int, batches: Sequence[BatchRecord]) -> list[BatchRecord]:
    """Those of the batches that a version has not scored when it was asked to."""
    known = lake.transactions(_TABLE, (_own(one, version) for one in batches))
    return [one for one in batches if _own(one, version) not in known]


def parts(one: BatchRecord, version: int, rows: pa.Table | RowStream, *, asked: bool) -> list[TransactionRows]:
    """A batch's scored rows, once; and the note that its champion has scored it, unless the version was asked for."""
    mine = TransactionRows(_own(one, version), version, rows)
    return [mine] if asked else [mine, noted(one, version, rows.schema)]


def noted(one: BatchRecord, version: int, schema: pa.Schema) -> TransactionRows:
    """The note that the champion of a batch's time has scored it."""
    return TransactionRows(one.batch, version, schema.empty_table())


def groups(batches: Sequence[BatchRecord]) -> Iterator[list[BatchRecord]]:
    """Small batches together, as many as make a good commit; a large one alone."""
    group: list[BatchRecord] = []
    for batch in batches:
        if group and sum(one.accepted for one in group) + batch.accepted > _GROUP_ROWS:
            yield group
            group = []
        group.append(batch)
    if group:
        yield group


def _own(one: BatchRecord, version: int) -> str:
    return f"{one.batch}:{version}"
