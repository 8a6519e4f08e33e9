"""Drop entries: recorded as dropped, and their values deleted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from tasks.quarantine.entries import STATE, Quarantine
from tasks.quarantine.readmission_files import close_batches
from tasks.quarantine.select import EntryFilter, Key
from tasks.stores.lake.schemas import RESOLUTIONS
from tasks.stores.lake.tables import Lake

_DELETE_ROWS = 10_000


def open_keys(quarantine: Quarantine, entry_filter: EntryFilter) -> list[Key]:
    """Return the keys of the selected open entries."""
    rows = [
        Key(row["batch"], row["row"])
        for table in quarantine.rows(entry_filter)
        for row in table.select(["batch", "row"]).to_pylist()
    ]
    return [*dict.fromkeys(rows), *(Key(file.batch, None) for file in quarantine.files(entry_filter))]


def drop(quarantine: Quarantine, keys: Sequence[Key], by: str, reason: str, at: datetime) -> None:
    """Record entries as dropped, then delete them. The data lock is held. If interrupted, the next drop deletes."""
    resolution = {"action": "dropped", "by": by, "why": reason, "at": at}
    rows = [{"entry": key.id, "batch": key.batch, "row": key.row, **resolution} for key in keys]
    close_batches(quarantine, [key.batch for key in keys if key.row is None], f"dropped by {by}", at)
    quarantine.lake.append("resolutions", pa.Table.from_pylist(rows, schema=RESOLUTIONS))
    purge(quarantine.lake)


def purge(lake: Lake) -> int:
    """Delete dropped entries from quarantine; return their number."""
    return sum(lake.delete("quarantine", where) for where in _predicates(_undeleted(lake)))


def _undeleted(lake: Lake) -> dict[str, list[int | None]]:
    """Return dropped entries that are not deleted yet, by batch."""
    quarantine, keys_by_batch = Quarantine(lake), defaultdict[str, list[int | None]](list)
    for table in quarantine.rows(EntryFilter(), resolved=True):
        for row in table.filter(pc.equal(table.column(STATE), "dropped")).select(["batch", "row"]).to_pylist():
            keys_by_batch[row["batch"]].append(row["row"])
    for file in quarantine.files(EntryFilter(), resolved=True):
        if file.state == "dropped":
            keys_by_batch[file.batch].append(None)
    return keys_by_batch


def _predicates(rows_by_batch: dict[str, list[int | None]]) -> Iterator[str]:
    for batch, rows in rows_by_batch.items():
        numbers = [row for row in rows if row is not None]
        for start in range(0, len(numbers), _DELETE_ROWS):
            listed = ", ".join(str(number) for number in numbers[start : start + _DELETE_ROWS])
            yield f"batch = '{batch}' AND kind = 'row' AND row IN ({listed})"
        if len(numbers) < len(rows):
            yield f"batch = '{batch}' AND kind = 'file'"
