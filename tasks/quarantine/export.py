"""Refused rows as a file that a person can repair and give back."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

from pydantic import JsonValue

from configs.contract import Column
from configs.schema import PipelineConfig
from tasks.errors import UsageError
from tasks.quarantine.content import Row, by_column, rows_of, unknown
from tasks.quarantine.entries import Quarantine, nothing
from tasks.quarantine.select import Chosen
from tasks.records.data import Feed
from tasks.stores.lake.schemas import ORIGIN
from tasks.stores.lake.staging import EXPORT_COLUMNS

REASON, FILE, LINE, TEXT = EXPORT_COLUMNS
ENDINGS = (".csv", ".jsonl")


class Exported(NamedTuple):
    """What was written.

    Attributes:
        files: Ids of files that were refused whole: these lie where they landed.
        blurred: Texts that a csv file can't tell from a missing value.
    """

    rows: int
    files: tuple[str, ...]
    blurred: int


class _Plan(NamedTuple):
    """What the rows have, known before the first is written."""

    feed: Feed
    extra: tuple[str, ...]
    torn: bool


def export(config: PipelineConfig, quarantine: Quarantine, chosen: Chosen, path: Path) -> Exported:
    """Write the open rows that are meant to a file, whole or not at all.

    Raises:
        UsageError: there are none, they are of two feeds, or the file can't be written or is there already.
    """
    check(path)
    plan = _plan(config, quarantine, chosen)
    files = tuple(one.id for one in quarantine.files(chosen))
    if plan is None:
        if not files:
            raise nothing(config.name, chosen.selection)
        raise UsageError(
            f"{', '.join(files)}: only whole files fit, and they lie as they landed; `perennial quarantine show "
            f"{config.name} ID` tells where. Repair a copy, then `readmit {config.name} --file COPY --of ID`."
        )
    columns = config.columns_of(plan.feed)
    head = [ORIGIN, *columns, *plan.extra, REASON, FILE, LINE, *([TEXT] if plan.torn else [])]
    missing = set((config.source if plan.feed == "observations" else config.labels or config.source).missing)
    rows = blurred = 0
    with atomic(path) as handle:
        write = _csv_writer(handle, head) if path.suffix == ".csv" else _jsonl_writer(handle)
        for row in rows_of(quarantine.rows(chosen, content=True)):
            cells = record(row, columns, plan.extra)
            blurred += sum(isinstance(one, str) and one in missing for one in cells.values())
            write({**cells, LINE: row.told["line"]})
            rows += 1
    return Exported(rows, files, blurred if path.suffix == ".csv" else 0)


def check(path: Path) -> None:
    """Refuse a file that can't be written.

    Raises:
        UsageError: another ending, no such folder, or the file is there already.
    """
    if path.suffix not in ENDINGS:
        raise UsageError(f"--to: found {path.name!r}, expected a name that ends with {' or '.join(ENDINGS)}.")
    if not path.parent.is_dir():
        raise UsageError(f"--to: {path.parent} is no folder. Make it first.")
    if path.exists():
        raise UsageError(f"--to: {path} is there already, and is not written over. Name another file.")


def record(row: Row, columns: Mapping[str, Column], extra: Sequence[str]) -> dict[str, JsonValue]:
    """A row for people: its entry, its cells by column, why and where."""
    others = unknown(row, columns)
    own: dict[str, JsonValue] = {name: others[name] for name in extra if name in others}
    told: dict[str, JsonValue] = {REASON: row.told["reason"], FILE: row.told["path"]}
    return {ORIGIN: row.key.id, **by_column(row, columns), **own, **told, **({TEXT: row.torn} if row.torn else {})}


def _plan(config: PipelineConfig, quarantine: Quarantine, chosen: Chosen) -> _Plan | None:
    feeds: set[Feed] = set()
    extra: dict[str, None] = {}
    torn = False
    keep = config.contract.policies.unknown_columns == "keep"
    for row in rows_of(quarantine.rows(chosen, content=True)):
        feeds.add(row.told["feed"])
        torn = torn or bool(row.torn)
        if keep:
            extra |= dict.fromkeys(unknown(row, config.columns_of(row.told["feed"])))
    if len(feeds) > 1:
        raise UsageError("The rows are of observations and of labels, which have other columns: name one with --feed.")
    return _Plan(feeds.pop(), tuple(extra), torn) if feeds else None


def _csv_writer(handle: TextIO, head: Sequence[str]) -> Callable[[Mapping[str, JsonValue]], None]:
    writer = csv.writer(handle, lineterminator="\r\n")  # so that a single \r in a text is quoted, too
    writer.writerow(head)
    return lambda row: writer.writerow([text(row.get(name)) for name in head])


def _jsonl_writer(handle: TextIO) -> Callable[[Mapping[str, JsonValue]], None]:
    return lambda row: print(json.dumps(row, ensure_ascii=False), file=handle)


def text(value: JsonValue) -> str:
    """A cell of a csv file; numbers keep every digit."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@contextmanager
def atomic(path: Path) -> Iterator[TextIO]:
    """A text file that is there whole once the block has ended well, or not at all.

    Raises:
        UsageError: it can't be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("w", encoding="utf-8", newline="") as handle:
            yield handle
        draft.replace(path)
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror or error}. Name another place.") from None
    finally:
        draft.unlink(missing_ok=True)


def told(found: Exported, pipeline: str, path: Path) -> Sequence[str]:
    """What was written, in lines."""
    lines = [f"{found.rows} rows written to {path}"]
    lines += [f"repair them, then: perennial quarantine readmit {pipeline} --file {path}"]
    if found.files:
        lines.append(f"not among them: {', '.join(found.files)}, refused as whole files; they lie where they landed")
    if found.blurred:
        lines.append(f"{found.blurred} texts read as missing from csv ('', NA, ...); a .jsonl file keeps them apart")
    return lines
