"""What people read of quarantine in Prefect."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tasks.quarantine.content import Row, row_of
from tasks.quarantine.entries import Quarantine
from tasks.quarantine.listing import Group, total
from tasks.quarantine.select import Key, short
from tasks.stores.lake.schemas import QUARANTINE
from tasks.stores.markdown import cell

_GROUPS = 40
_WIDEST = 80


def page(pipeline: str, quarantine: Quarantine, found: Sequence[Group]) -> str:
    """A page in markdown: open entries by file and expectation, with an example each, and what can be done."""
    waits = total(found)
    lines = [f"# {pipeline}: {waits.told} in quarantine"]
    if not found:
        return "\n".join([*lines, "Nothing waits. What was readmitted or dropped:", *_code([f"list {pipeline} --all"])])
    shown = found[:_GROUPS]
    examples = _examples(quarantine, shown)
    lines += [
        "| file | id | expectation | rows | first line | example | reason |",
        "| --- | --- | --- | ---: | ---: | --- | --- |",
        *(_line(one, examples.get(Key(one.batch, one.row))) for one in shown),
    ]
    if len(found) > len(shown):
        lines.append(f"\n{len(found) - len(shown)} groups more: `perennial quarantine list {pipeline}`")
    return "\n".join([*lines, *_commands(pipeline, found)])


def _line(one: Group, row: Row | None) -> str:
    first = "whole file" if one.kind == "file" else "–" if one.line is None else str(one.line)
    example, reason = ("–", one.reason) if row is None else (_example(one, row), _rest(row))
    cells = [one.path, f"`{short(one.batch)}`", one.expectation, str(one.rows), first, example, reason]
    return f"| {' | '.join(cell(_cut(text)) for text in cells)} |"


def _rest(row: Row) -> str:
    """A row's reason without the value, which is shown beside it."""
    reason = str(row.told["reason"])
    if row.unreadable or row.torn:
        return reason.partition(": ")[0]
    told = (f"{name} = {value}, " for name, value in row.cells.items())
    return next((reason.removeprefix(one) for one in told if reason.startswith(one)), reason)


def _example(one: Group, row: Row) -> str:
    """The value that was refused, where the expectation names its column; else what could not be read, or the row."""
    named = one.expectation.partition("(")[2].rstrip(")")
    names = [name.strip() for name in named.split(",")] if named else list(row.unreadable)
    values = {name: row.cells.get(name) for name in names} or row.cells
    return row.torn or ", ".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items())


def _examples(quarantine: Quarantine, found: Sequence[Group]) -> dict[Key, Row]:
    """The first row of each group."""
    keys = {Key(one.batch, one.row) for one in found if one.row is not None}
    batches = pa.array(sorted({key.batch for key in keys}), pa.string())
    rows = pa.array(sorted({key.row for key in keys if key.row is not None}), pa.int64())
    where = pc.field("batch").isin(batches) & pc.field("row").isin(rows)
    if not keys:
        return {}
    lines = quarantine.lake.read("quarantine", QUARANTINE.names, where=where).to_pylist()
    return {Key(one["batch"], one["row"]): row_of(one) for one in lines if Key(one["batch"], one["row"]) in keys}


def _commands(pipeline: str, found: Sequence[Group]) -> list[str]:
    """What can be done, to be copied."""
    rows = next((one for one in found if one.kind == "row"), None)
    files = next((one for one in found if one.kind == "file"), None)
    first = rows or files
    lines = ["", "## See", *_code([f"list {pipeline} --rows", *([f"show {pipeline} {_id(first)}"] if first else [])])]
    if rows is not None:
        only = f"--batch {short(rows.batch)} --expectation {shlex.quote(rows.expectation)}"
        lines += ["", "## Repair rows by hand", *_code([f"export {pipeline} --to refused.csv {only}"])]
        lines += ["then, with the cells mended,", *_code([f"readmit {pipeline} --file refused.csv"])]
    if files is not None:
        lines += ["", "## Repair a whole file", *_code([f"readmit {pipeline} --file COPY --of {short(files.batch)}"])]
    lines += ["", "## After a correction of the contract", *_code([f"readmit {pipeline}"])]
    return [*lines, "", "## Give up", *_code([f"drop {pipeline} {_id(first)} --why TEXT" if first else "drop"])]


def _id(one: Group) -> str:
    return Key(one.batch, one.row).id


def _code(commands: Sequence[str]) -> list[str]:
    return ["```", *(f"perennial quarantine {one}" for one in commands), "```"]


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
