"""Entries that a person gives up: noted as dropped, and their values deleted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from tasks.quarantine.entries import STATE, Quarantine
from tasks.quarantine.readmit import settle
from tasks.quarantine.select import Chosen, Key
from tasks.stores.lake.schemas import RESOLUTIONS
from tasks.stores.lake.tables import Lake

_AT_ONCE = 10_000


def open_keys(quarantine: Quarantine, chosen: Chosen) -> list[Key]:
    """The open entries that are meant."""
    rows = [
        Key(row["batch"], row["row"])
        for table in quarantine.rows(chosen)
        for row in table.select(["batch", "row"]).to_pylist()
    ]
    return [*dict.fromkeys(rows), *(Key(one.batch, None) for one in quarantine.files(chosen))]


def drop(quarantine: Quarantine, keys: Sequence[Key], by: str, why: str, at: datetime) -> None:
    """Note that entries are dropped, then delete them. The data lock is held. Killed between, the next drop deletes."""
    told = {"action": "dropped", "by": by, "why": why, "at": at}
    rows = [{"entry": key.id, "batch": key.batch, "row": key.row, **told} for key in keys]
    settle(quarantine, [key.batch for key in keys if key.row is None], f"dropped by {by}", at)
    quarantine.lake.append("resolutions", pa.Table.from_pylist(rows, schema=RESOLUTIONS))
    purge(quarantine.lake)


def purge(lake: Lake) -> int:
    """Delete from quarantine what was dropped; how many entries."""
    return sum(lake.delete("quarantine", where) for where in _predicates(_left(lake)))


def _left(lake: Lake) -> dict[str, list[int | None]]:
    """Dropped entries that are still there, by batch."""
    quarantine, found = Quarantine(lake), defaultdict[str, list[int | None]](list)
    for table in quarantine.rows(Chosen(), resolved=True):
        for row in table.filter(pc.equal(table.column(STATE), "dropped")).select(["batch", "row"]).to_pylist():
            found[row["batch"]].append(row["row"])
    for one in quarantine.files(Chosen(), resolved=True):
        if one.state == "dropped":
            found[one.batch].append(None)
    return found


def _predicates(left: dict[str, list[int | None]]) -> Iterator[str]:
    for batch, rows in left.items():
        numbers = [row for row in rows if row is not None]
        for start in range(0, len(numbers), _AT_ONCE):
            listed = ", ".join(str(number) for number in numbers[start : start + _AT_ONCE])
            yield f"batch = '{batch}' AND kind = 'row' AND row IN ({listed})"
        if len(numbers) < len(rows):
            yield f"batch = '{batch}' AND kind = 'file'"
