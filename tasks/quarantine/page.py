"""The quarantine page in Prefect."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tasks.quarantine.content import QuarantinedRow, parse_row
from tasks.quarantine.entries import Quarantine
from tasks.quarantine.listing import EntryGroup, open_in_groups
from tasks.quarantine.select import Key, short_id
from tasks.stores.lake.schemas import QUARANTINE
from tasks.stores.markdown import cell

_MAX_GROUPS = 40
_MAX_WIDTH = 80


def quarantine_page(pipeline: str, quarantine: Quarantine, groups: Sequence[EntryGroup]) -> str:
    """Return a page in markdown: open entries by file and expectation, with examples and commands."""
    open_count = open_in_groups(groups)
    lines = [f"# {pipeline}: {open_count.description} in quarantine"]
    if not groups:
        return "\n".join(
            [*lines, "There are no open entries. Readmitted and dropped entries:", *_code([f"list {pipeline} --all"])]
        )
    shown = groups[:_MAX_GROUPS]
    examples = _examples(quarantine, shown)
    lines += [
        "| file | id | expectation | rows | first line | example | reason |",
        "| --- | --- | --- | ---: | ---: | --- | --- |",
        *(_table_row(group, examples.get(Key(group.batch, group.row))) for group in shown),
    ]
    if len(groups) > len(shown):
        lines.append(f"\n{len(groups) - len(shown)} more groups: `perennial quarantine list {pipeline}`")
    return "\n".join([*lines, *_commands(pipeline, groups)])


def _table_row(group: EntryGroup, row: QuarantinedRow | None) -> str:
    first = "whole file" if group.kind == "file" else "–" if group.line is None else str(group.line)
    example, reason = ("–", group.reason) if row is None else (_example(group, row), _reason_without_value(row))
    cells = [group.path, f"`{short_id(group.batch)}`", group.expectation, str(group.rows), first, example, reason]
    return f"| {' | '.join(cell(_truncate(text)) for text in cells)} |"


def _reason_without_value(row: QuarantinedRow) -> str:
    """Return a row's reason without the value, which is shown as the example."""
    reason = str(row.metadata["reason"])
    if row.unreadable or row.unparsed:
        return reason.partition(": ")[0]
    prefixes = (f"{name} = {value}, " for name, value in row.cells.items())
    return next((reason.removeprefix(prefix) for prefix in prefixes if reason.startswith(prefix)), reason)


def _example(group: EntryGroup, row: QuarantinedRow) -> str:
    """Return the rejected value if the expectation has a column; otherwise unreadable cells or the row."""
    named = group.expectation.partition("(")[2].rstrip(")")
    names = [name.strip() for name in named.split(",")] if named else list(row.unreadable)
    values = {name: row.cells.get(name) for name in names} or row.cells
    return row.unparsed or ", ".join(
        f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()
    )


def _examples(quarantine: Quarantine, groups: Sequence[EntryGroup]) -> dict[Key, QuarantinedRow]:
    """Return the first row of each group."""
    keys = {Key(group.batch, group.row) for group in groups if group.row is not None}
    batches = pa.array(sorted({key.batch for key in keys}), pa.string())
    rows = pa.array(sorted({key.row for key in keys if key.row is not None}), pa.int64())
    where = pc.field("batch").isin(batches) & pc.field("row").isin(rows)
    if not keys:
        return {}
    lines = quarantine.lake.read("quarantine", QUARANTINE.names, where=where).to_pylist()
    return {
        Key(line["batch"], line["row"]): parse_row(line) for line in lines if Key(line["batch"], line["row"]) in keys
    }


def _commands(pipeline: str, groups: Sequence[EntryGroup]) -> list[str]:
    """Return commands to copy."""
    rows = next((group for group in groups if group.kind == "row"), None)
    files = next((group for group in groups if group.kind == "file"), None)
    first = rows or files
    lines = [
        "",
        "## Inspect",
        *_code([f"list {pipeline} --rows", *([f"show {pipeline} {_group_id(first)}"] if first else [])]),
    ]
    if rows is not None:
        only = f"--batch {short_id(rows.batch)} --expectation {shlex.quote(rows.expectation)}"
        lines += ["", "## Correct rows", *_code([f"export {pipeline} --to rejected.csv {only}"])]
        lines += ["then, with the cells corrected,", *_code([f"readmit {pipeline} --file rejected.csv"])]
    if files is not None:
        lines += [
            "",
            "## Correct a file",
            *_code([f"readmit {pipeline} --file COPY --of {short_id(files.batch)}"]),
        ]
    lines += ["", "## After a correction of the contract", *_code([f"readmit {pipeline}"])]
    return [*lines, "", "## Drop", *_code([f"drop {pipeline} {_group_id(first)} --why TEXT" if first else "drop"])]


def _group_id(group: EntryGroup) -> str:
    return Key(group.batch, group.row).id


def _code(commands: Sequence[str]) -> list[str]:
    return ["```", *(f"perennial quarantine {one}" for one in commands), "```"]


def _truncate(text: str) -> str:
    return text if len(text) <= _MAX_WIDTH else f"{text[: _MAX_WIDTH - 1]}…"
