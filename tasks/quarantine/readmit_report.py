"""Outcomes of readmitted entries."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import pyarrow.compute as pc

from tasks.quarantine.entries import Entry, Quarantine
from tasks.quarantine.select import EntryFilter, Key, short_id
from tasks.records.base import Record
from tasks.records.data import BatchRecord

OutcomeKind = Literal["accepted", "refused", "duplicate", "waits"]
EntriesByRow = Mapping[str, Mapping[int, str]]
"""By the batch of a readmitted file: the entries of its rows, by row number."""


class ReadmitOutcome(Record):
    """The outcome of one readmitted entry.

    Attributes:
        outcome: The outcome; `waits`: it is still in quarantine.
        into: The batch that it was validated with.
        again: Its new entry, if it was rejected again.
    """

    entry: str
    outcome: OutcomeKind
    into: str = ""
    again: str = ""
    reason: str = ""

    @property
    def description(self) -> str:
        """Description for users, without the entry id."""
        again = f" as {self.again}" if self.again else ""
        words = {"refused": f"rejected again{again}", "waits": "still in quarantine"}.get(self.outcome, self.outcome)
        return f"{words}{f': {self.reason}' if self.reason else ''}"


class ReadmitReport(Record):
    """The result of one readmission.

    Attributes:
        files: Paths of the files written for it.
        rejected: Files that were rejected as a whole.
        notes: Notes for users.
    """

    pipeline: str
    files: tuple[str, ...] = ()
    outcomes: tuple[ReadmitOutcome, ...] = ()
    rejected: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[OutcomeKind, int]:
        """Number of entries by outcome."""
        found = Counter(one.outcome for one in self.outcomes)
        order: tuple[OutcomeKind, ...] = ("accepted", "refused", "duplicate", "waits")
        return {name: found[name] for name in order}


def readmit_outcomes(
    quarantine: Quarantine, keys: Sequence[Key], entries_by_row: EntriesByRow, batches: Sequence[str]
) -> Iterator[ReadmitOutcome]:
    """Yield the outcomes of entries, in their order.

    Args:
        quarantine: Quarantine after validation of the files.
        keys: The entries.
        entries_by_row: The entries in the readmitted files, by batch and row.
        batches: The batches of those files.
    """
    readmitted = {batch: _ReadmittedBatch(quarantine, batch, rows) for batch, rows in entries_by_row.items()}
    rejected = {
        entry: record
        for batch in batches
        for entry, record in _rejected_entries(quarantine, batch, entries_by_row).items()
    }
    for key in keys:
        resolved = quarantine.resolution(key)
        if key.row is None:
            yield _file_outcome(quarantine, key, resolved.into if resolved else None)
        elif resolved is not None and resolved.into in readmitted:
            yield readmitted[resolved.into].outcome(key)
        elif resolved is not None:
            yield ReadmitOutcome(entry=key.id, outcome="accepted", into=short_id(resolved.into or ""))
        else:
            reason = rejected[key.id].reasons if key.id in rejected else ()
            kind: OutcomeKind = "refused" if key.id in rejected else "waits"
            yield ReadmitOutcome(entry=key.id, outcome=kind, reason="; ".join(reason))


def _rejected_entries(quarantine: Quarantine, batch: str, entries_by_row: EntriesByRow) -> dict[str, BatchRecord]:
    record = quarantine.batch(batch)
    if record is None or record.verdict == "accepted":
        return {}
    return dict.fromkeys(entries_by_row.get(batch, {}).values(), record)


def _file_outcome(quarantine: Quarantine, key: Key, into: str | None) -> ReadmitOutcome:
    """Return the outcome of a rejected file, or of the file that repairs it."""
    record = quarantine.batch(into or key.batch)
    if record is None:
        return ReadmitOutcome(entry=key.id, outcome="waits", reason="it was not ingested; the next run tries again")
    if record.verdict == "rejected":
        return ReadmitOutcome(
            entry=key.id, outcome="refused", into=short_id(record.batch), reason="; ".join(record.reasons)
        )
    other_rows = {"in quarantine": record.quarantined, "duplicates": record.duplicates}
    parts = [f"{record.accepted} rows accepted", *(f"{count} {name}" for name, count in other_rows.items() if count)]
    return ReadmitOutcome(entry=key.id, outcome="accepted", into=short_id(record.batch), reason=", ".join(parts))


class _ReadmittedBatch:
    """Outcomes of the rows of one readmitted file."""

    def __init__(self, quarantine: Quarantine, batch: str, rows: Mapping[int, str]) -> None:
        self._batch = batch
        self._row = {entry: row for row, entry in rows.items()}
        refused = quarantine.rows(EntryFilter(batch=batch), resolved=True)
        self._refused: dict[int, Entry] = {
            line["row"]: quarantine.entry(line) for table in refused for line in table.to_pylist()
        }
        mine = pc.field("batch") == batch
        found = quarantine.lake.read("duplicates", ["row", "kind", "kept_batch", "kept_row", "key"], where=mine)
        self._duplicates = {line["row"]: line for line in found.to_pylist()}

    def outcome(self, key: Key) -> ReadmitOutcome:
        """Return the outcome of one entry."""
        row, into = self._row.get(key.id, 0), short_id(self._batch)
        if row in self._refused:
            again = self._refused[row]
            return ReadmitOutcome(entry=key.id, outcome="refused", into=into, again=again.id, reason=again.reason)
        if row in self._duplicates:
            line = self._duplicates[row]
            kept = Key(line["kept_batch"] or "", line["kept_row"])
            named = f" of key {json.loads(line['key'])}" if line["key"] else ""
            description = f"the row {kept.id}{named} is kept instead ({line['kind']})"
            return ReadmitOutcome(entry=key.id, outcome="duplicate", into=into, reason=description)
        return ReadmitOutcome(entry=key.id, outcome="accepted", into=into)
