"""Export of rejected rows to a file that can be repaired and readmitted."""

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
from tasks.quarantine.content import QuarantinedRow, cells_by_column, parse_rows, unknown_cells
from tasks.quarantine.entries import Quarantine, no_entries_error
from tasks.quarantine.select import EntryFilter
from tasks.records.data import Feed
from tasks.stores.lake.schemas import ORIGIN
from tasks.stores.lake.staging import EXPORT_COLUMNS

REASON, FILE, LINE, TEXT = EXPORT_COLUMNS
EXTENSIONS = (".csv", ".jsonl")


class ExportResult(NamedTuple):
    """The result of an export.

    Attributes:
        files: Ids of rejected files, which are not exported.
        ambiguous: Number of texts that a csv file can't distinguish from missing values.
    """

    rows: int
    files: tuple[str, ...]
    ambiguous: int


class _ExportPlan(NamedTuple):
    """Feed and columns of the rows, known before the first is written."""

    feed: Feed
    extra: tuple[str, ...]
    has_unparsed: bool


def export(config: PipelineConfig, quarantine: Quarantine, entry_filter: EntryFilter, path: Path) -> ExportResult:
    """Write the selected open rows to a file, atomically.

    Raises:
        UsageError: there are none, they are of two feeds, or the file can't be written or exists.
    """
    check_target(path)
    plan = _export_plan(config, quarantine, entry_filter)
    files = tuple(file.id for file in quarantine.files(entry_filter))
    if plan is None:
        if not files:
            raise no_entries_error(config.name, entry_filter.selection)
        raise UsageError(
            f"{', '.join(files)}: only rejected files match, which are unchanged in the landing folder; "
            "`perennial quarantine show "
            f"{config.name} ID` shows where. Repair a copy, then `readmit {config.name} --file COPY --of ID`."
        )
    columns = config.columns_of(plan.feed)
    header = [ORIGIN, *columns, *plan.extra, REASON, FILE, LINE, *([TEXT] if plan.has_unparsed else [])]
    missing = set((config.source if plan.feed == "observations" else config.labels or config.source).missing)
    rows = ambiguous = 0
    with atomic_writer(path) as handle:
        write = _csv_writer(handle, header) if path.suffix == ".csv" else _jsonl_writer(handle)
        for row in parse_rows(quarantine.rows(entry_filter, content=True)):
            cells = export_record(row, columns, plan.extra)
            ambiguous += sum(isinstance(file, str) and file in missing for file in cells.values())
            write({**cells, LINE: row.metadata["line"]})
            rows += 1
    return ExportResult(rows, files, ambiguous if path.suffix == ".csv" else 0)


def check_target(path: Path) -> None:
    """Check that a file can be written.

    Raises:
        UsageError: unsupported extension, no such folder, or the file exists.
    """
    if path.suffix not in EXTENSIONS:
        raise UsageError(f"--to: found {path.name!r}, expected a name that ends with {' or '.join(EXTENSIONS)}.")
    if not path.parent.is_dir():
        raise UsageError(f"--to: {path.parent} is not a folder. Create it first.")
    if path.exists():
        raise UsageError(f"--to: {path} already exists and is not overwritten. Name another file.")


def export_record(row: QuarantinedRow, columns: Mapping[str, Column], extra: Sequence[str]) -> dict[str, JsonValue]:
    """Return a row to export: entry id, cells by column, reason and file."""
    others = unknown_cells(row, columns)
    kept_columns: dict[str, JsonValue] = {name: others[name] for name in extra if name in others}
    describe_export: dict[str, JsonValue] = {REASON: row.metadata["reason"], FILE: row.metadata["path"]}
    return {
        ORIGIN: row.key.id,
        **cells_by_column(row, columns),
        **kept_columns,
        **describe_export,
        **({TEXT: row.unparsed} if row.unparsed else {}),
    }


def _export_plan(config: PipelineConfig, quarantine: Quarantine, entry_filter: EntryFilter) -> _ExportPlan | None:
    feeds: set[Feed] = set()
    extra: dict[str, None] = {}
    has_unparsed = False
    keep = config.contract.policies.unknown_columns == "keep"
    for row in parse_rows(quarantine.rows(entry_filter, content=True)):
        feeds.add(row.metadata["feed"])
        has_unparsed = has_unparsed or bool(row.unparsed)
        if keep:
            extra |= dict.fromkeys(unknown_cells(row, config.columns_of(row.metadata["feed"])))
    if len(feeds) > 1:
        raise UsageError(
            "The rows are of observations and of labels, which have different columns: select one with --feed."
        )
    return _ExportPlan(feeds.pop(), tuple(extra), has_unparsed) if feeds else None


def _csv_writer(handle: TextIO, header: Sequence[str]) -> Callable[[Mapping[str, JsonValue]], None]:
    writer = csv.writer(handle, lineterminator="\r\n")  # so that a single \r in a text is quoted, too
    writer.writerow(header)
    return lambda row: writer.writerow([csv_cell(row.get(name)) for name in header])


def _jsonl_writer(handle: TextIO) -> Callable[[Mapping[str, JsonValue]], None]:
    return lambda row: print(json.dumps(row, ensure_ascii=False), file=handle)


def csv_cell(value: JsonValue) -> str:
    """Return the text of a csv cell; numbers keep every digit."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@contextmanager
def atomic_writer(path: Path) -> Iterator[TextIO]:
    """Open a text file that is written atomically when the block succeeds.

    Raises:
        UsageError: it can't be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("w", encoding="utf-8", newline="") as handle:
            yield handle
        draft.replace(path)
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror or error}. Choose another path.") from None
    finally:
        draft.unlink(missing_ok=True)


def describe_export(result: ExportResult, pipeline: str, path: Path) -> Sequence[str]:
    """Return a description of an export, line by line."""
    lines = [f"{result.rows} rows written to {path}"]
    lines += [f"repair them, then: perennial quarantine readmit {pipeline} --file {path}"]
    if result.files:
        lines.append(
            f"not exported: {', '.join(result.files)}, rejected as whole files; they are in the landing folder"
        )
    if result.ambiguous:
        lines.append(
            f"{result.ambiguous} texts would be read as missing from csv ('', NA, ...); a .jsonl file "
            "distinguishes them"
        )
    return lines
