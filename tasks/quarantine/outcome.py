"""What came of entries that were given back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import pyarrow.compute as pc

from tasks.quarantine.entries import Entry, Quarantine
from tasks.quarantine.select import Chosen, Key, short
from tasks.records.base import Record
from tasks.records.data import BatchRecord

Came = Literal["accepted", "refused", "duplicate", "waits"]
Rows = Mapping[str, Mapping[int, str]]
"""By the batch of a file that quarantine gave back: the entries of its rows, by their numbers."""


class Outcome(Record):
    """What came of one entry.

    Attributes:
        outcome: waits: it is in quarantine as before.
        into: The batch that it was judged with.
        again: Its new entry, where it was refused again.
    """

    entry: str
    outcome: Came
    into: str = ""
    again: str = ""
    reason: str = ""

    @property
    def told(self) -> str:
        """In words, without the entry."""
        again = f" as {self.again}" if self.again else ""
        words = {"refused": f"refused again{again}", "waits": "still waits"}.get(self.outcome, self.outcome)
        return f"{words}{f': {self.reason}' if self.reason else ''}"


class ReadmitReport(Record):
    """What one readmission came to.

    Attributes:
        files: Paths of the files that were written for it.
        rejected: Files that were refused as a whole, again or as their repaired form.
        notes: What a person should know.
    """

    pipeline: str
    files: tuple[str, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    rejected: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[Came, int]:
        """Entries by what came of them."""
        found = Counter(one.outcome for one in self.outcomes)
        order: tuple[Came, ...] = ("accepted", "refused", "duplicate", "waits")
        return {name: found[name] for name in order}


def outcomes(quarantine: Quarantine, keys: Sequence[Key], origins: Rows, given: Sequence[str]) -> Iterator[Outcome]:
    """What came of entries, in their order.

    Args:
        quarantine: As it is after the files were judged.
        keys: The entries.
        origins: The rows of the files that they were given back with.
        given: The batches of those files.
    """
    judged = {batch: _Judged(quarantine, batch, rows) for batch, rows in origins.items()}
    refused = {entry: one for batch in given for entry, one in _rejections(quarantine, batch, origins).items()}
    for key in keys:
        resolved = quarantine.resolution(key)
        if key.row is None:
            yield _of_file(quarantine, key, resolved.into if resolved else None)
        elif resolved is not None and resolved.into in judged:
            yield judged[resolved.into].outcome(key)
        elif resolved is not None:
            yield Outcome(entry=key.id, outcome="accepted", into=short(resolved.into or ""))
        else:
            reason = refused[key.id].reasons if key.id in refused else ()
            came: Came = "refused" if key.id in refused else "waits"
            yield Outcome(entry=key.id, outcome=came, reason="; ".join(reason))


def _rejections(quarantine: Quarantine, batch: str, origins: Rows) -> dict[str, BatchRecord]:
    record = quarantine.batch(batch)
    if record is None or record.verdict == "accepted":
        return {}
    return dict.fromkeys(origins.get(batch, {}).values(), record)


def _of_file(quarantine: Quarantine, key: Key, into: str | None) -> Outcome:
    """What came of a file that was refused whole: of itself, or of the one that repairs it."""
    record = quarantine.batch(into or key.batch)
    if record is None:
        return Outcome(entry=key.id, outcome="waits", reason="it was not taken in; the next run tries again")
    if record.verdict == "rejected":
        return Outcome(entry=key.id, outcome="refused", into=short(record.batch), reason="; ".join(record.reasons))
    rest = {"in quarantine": record.quarantined, "duplicates": record.duplicates}
    told = [f"{record.accepted} rows came in", *(f"{count} {name}" for name, count in rest.items() if count)]
    return Outcome(entry=key.id, outcome="accepted", into=short(record.batch), reason=", ".join(told))


class _Judged:
    """The rows of a file that quarantine gave back, by what became of them."""

    def __init__(self, quarantine: Quarantine, batch: str, rows: Mapping[int, str]) -> None:
        self._batch = batch
        self._row = {entry: row for row, entry in rows.items()}
        refused = quarantine.rows(Chosen(batch=batch), resolved=True)
        self._refused: dict[int, Entry] = {
            line["row"]: quarantine.entry(line) for table in refused for line in table.to_pylist()
        }
        mine = pc.field("batch") == batch
        found = quarantine.lake.read("duplicates", ["row", "kind", "kept_batch", "kept_row", "key"], where=mine)
        self._duplicates = {line["row"]: line for line in found.to_pylist()}

    def outcome(self, key: Key) -> Outcome:
        """What became of one."""
        row, into = self._row.get(key.id, 0), short(self._batch)
        if row in self._refused:
            again = self._refused[row]
            return Outcome(entry=key.id, outcome="refused", into=into, again=again.id, reason=again.reason)
        if row in self._duplicates:
            line = self._duplicates[row]
            kept = Key(line["kept_batch"] or "", line["kept_row"])
            named = f" of key {json.loads(line['key'])}" if line["key"] else ""
            told = f"the row {kept.id}{named} stands for it ({line['kind']})"
            return Outcome(entry=key.id, outcome="duplicate", into=into, reason=told)
        return Outcome(entry=key.id, outcome="accepted", into=into)
