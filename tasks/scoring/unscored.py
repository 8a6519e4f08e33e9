"""Batches that a version has not scored yet, and the transactions of its predictions.

A batch's id is the transaction of the champion that scored it when it was new; the id with a version number is that of
the version's rows. Both are written in one commit, so that rows are never written twice.
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
    """Return accepted batches of observations to score.

    Args:
        lake: The pipeline's lake.
        version: The version to score with.
        after: Sequence number: later batches that no champion has scored are returned. None: all batches that this
            version has not scored.
    """
    ledger = [batch for batch in lake.ledger() if batch.verdict == "accepted" and batch.feed == "observations"]
    champions = lake.transactions(_TABLE, (batch.batch for batch in ledger))
    if after is not None:
        return [batch for batch in ledger if batch.seq > after and batch.batch not in champions]
    batches = [batch for batch in ledger if champions.get(batch.batch) != version]
    return unscored_by(lake, version, batches)


def unscored_by(lake: Lake, version: int, batches: Sequence[BatchRecord]) -> list[BatchRecord]:
    """Return the batches that a version has not scored."""
    scored = lake.transactions(_TABLE, (_transaction_id(batch, version) for batch in batches))
    return [batch for batch in batches if _transaction_id(batch, version) not in scored]


def commit_parts(
    batch: BatchRecord, version: int, rows: pa.Table | RowStream, *, explicit_version: bool
) -> list[TransactionRows]:
    """Return the commit parts of a batch: its scored rows and, unless `explicit_version`, the champion's marker."""
    part = TransactionRows(_transaction_id(batch, version), version, rows)
    return [part] if explicit_version else [part, champion_marker(batch, version, rows.schema)]


def champion_marker(batch: BatchRecord, version: int, schema: pa.Schema) -> TransactionRows:
    """Return the marker that a champion has scored a batch."""
    return TransactionRows(batch.batch, version, schema.empty_table())


def commit_groups(batches: Sequence[BatchRecord]) -> Iterator[list[BatchRecord]]:
    """Yield groups of small batches for one commit each; a large batch alone."""
    group: list[BatchRecord] = []
    for batch in batches:
        if group and sum(one.accepted for one in group) + batch.accepted > _GROUP_ROWS:
            yield group
            group = []
        group.append(batch)
    if group:
        yield group


def _transaction_id(batch: BatchRecord, version: int) -> str:
    return f"{batch.batch}:{version}"
