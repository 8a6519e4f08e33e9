"""What `perennial quarantine` prints."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic import JsonValue

from perennial.cli.render import table
from tasks.quarantine.entries import Entry, EntryResolution
from tasks.quarantine.listing import EntryGroup, EntryPage, RecordedDuplicate, location, open_in_groups
from tasks.quarantine.readmit_report import OutcomeKind, ReadmitOutcome, ReadmitReport
from tasks.quarantine.select import short_id
from tasks.quarantine.show import EntryDetail

_TIME_FORMAT = "%Y-%m-%d %H:%M"
_WIDEST = 100
_MOST_SHOWN = 20


def groups(name: str, found: Sequence[EntryGroup], dropped: Sequence[EntryResolution]) -> str:
    """Entries by file and expectation."""
    waiting_total = open_in_groups(found)
    lines = [f"{name}: {waiting_total.description} in quarantine"]
    if found:
        head = ("file", "id", "expectation", "rows", "first line", "state", "last (UTC)")
        lines += ["", table([head, *(_group(one) for one in found)])]
    lines += [f"{one.path}: {_cut(one.reason)}" for one in found if one.kind == "file" and one.state == "open"]
    lines += [f"{one.entry}: {one.description}" for one in dropped[:_MOST_SHOWN]]
    if len(dropped) > _MOST_SHOWN:
        lines.append(f"{len(dropped) - _MOST_SHOWN} more were dropped; --json shows all")
    return "\n".join(lines)


def _group(one: EntryGroup) -> tuple[str, ...]:
    first = "whole file" if one.kind == "file" else "–" if one.line is None else str(one.line)
    state = one.became or one.state
    return (one.path, short_id(one.batch), one.expectation, str(one.rows), first, state, f"{one.at:{_TIME_FORMAT}}")


def entries(name: str, page: EntryPage, offset: int) -> str:
    """Entries one by one."""
    if not page.entries:
        return (
            f"{name}: no entry" if not page.total else f"{name}: there are {page.total} entries, none from {offset} on"
        )
    head = ("id", "file", "place", "expectation", "key", "reason", "state")
    last = offset + len(page.entries)
    lines = [
        table([head, *(_entry(one) for one in page.entries)]),
        "",
        f"{offset + 1} to {last} of {page.total} entries",
    ]
    if last < page.total:
        lines.append(f"the next: --offset {last}")
    return "\n".join(lines)


def _entry(one: Entry) -> tuple[str, ...]:
    key = ", ".join(f"{name}={_text(value)}" for name, value in one.key.items()) or "–"
    return (one.id, one.path, location(one), one.expectation, _cut(key), _cut(one.reason), one.became or one.state)


def duplicates(name: str, found: Sequence[RecordedDuplicate]) -> str:
    """Recorded duplicates."""
    if not found:
        return f"{name}: no duplicates are recorded"
    head = ("file", "id", "kind", "rows", "first row", "its key", "kept instead", "last (UTC)")
    lines = [
        (
            one.path,
            short_id(one.batch),
            one.kind,
            str(one.rows),
            str(one.first_row),
            _cut(", ".join(f"{key}={_text(value)}" for key, value in one.first_key.items()) or "as kept"),
            one.kept,
            f"{one.at:{_TIME_FORMAT}}",
        )
        for one in found
    ]
    return (
        f"{name}: {sum(one.rows for one in found)} rows another of the same key stands for\n\n{table([head, *lines])}"
    )


def place(entry: Entry) -> str:
    """A row's number among its file's rows, and its line where the file has lines."""
    return location(entry) if entry.line is None else f"row {entry.row}, {location(entry)}"


def detail(one: EntryDetail) -> str:
    """Everything about one entry."""
    facts: list[tuple[str, str]] = [("entry", one.id)]
    entry, batch = one.entry, one.batch
    if entry is not None:
        facts += [("file", entry.path), ("place", place(entry))]
        facts += [("feed", entry.feed), ("expectation", entry.expectation), ("reason", entry.reason)]
        facts += [("key", json.dumps(entry.key, ensure_ascii=False))] if entry.key else []
        facts += [("was", one.was)] if one.was else []
        again = f", and rejected again as {one.again}" if one.again else ""
        facts += [("rejected", f"{entry.at:{_TIME_FORMAT}} UTC"), ("state", f"{entry.became or entry.state}{again}")]
    elif one.resolved is not None:
        facts += [
            ("state", f"{one.resolved.description}, {one.resolved.at:{_TIME_FORMAT}} UTC; its values are deleted")
        ]
    if batch is not None:
        rows = f"{batch.accepted} accepted, {batch.quarantined} in quarantine, {batch.duplicates} duplicates"
        facts += [("batch", batch.batch), ("verdict", f"{batch.verdict}: {batch.rows} rows, {rows}")]
        facts += [("lies", one.lies)]
    lines = [f"{name:<12}{text}" for name, text in facts]
    if one.torn:
        return "\n".join([*lines, "", "could not be cut into fields:", one.torn])
    cells = [
        (name, _text(value), "can't be read" if name in one.unreadable else "") for name, value in one.cells.items()
    ]
    cells += [(name, value, "not of the contract") for name, value in one.extra.items()]
    return "\n".join([*lines, "", table([("column", "cell", ""), *cells])]) if cells else "\n".join(lines)


def readmitted(report: ReadmitReport) -> str:
    """What a readmission came to."""
    counts = report.counts
    words: dict[OutcomeKind, str] = {
        "accepted": "accepted",
        "refused": "rejected again",
        "duplicate": "duplicates",
        "waits": "still waiting",
    }
    summary = ", ".join(f"{counts[name]} {word}" for name, word in words.items() if counts[name])
    count = len(report.outcomes)
    lines = [f"{report.pipeline}: {count} entr{'y' if count == 1 else 'ies'}: {summary or 'nothing came of them'}"]
    alike: dict[tuple[str, str, str], list[ReadmitOutcome]] = {}
    for one in report.outcomes:
        if one.outcome != "accepted" or one.reason:
            alike.setdefault((one.outcome, one.reason, one.again), []).append(one)
    for several in list(alike.values())[:_MOST_SHOWN]:
        more = f" and {len(several) - 1} more" if len(several) > 1 else ""
        lines.append(f"  {several[0].entry}{more}: {' '.join(several[0].description.split())}")
    if len(alike) > _MOST_SHOWN:
        lines.append(f"  and {sum(map(len, list(alike.values())[_MOST_SHOWN:]))} entries more; --json shows all")
    return "\n".join([*lines, *(f"  {note}" for note in report.notes)])


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDEST else f"{line[: _WIDEST - 1]}…"
