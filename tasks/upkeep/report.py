"""What upkeep did, for a person: what it freed, and what it keeps and why."""

from __future__ import annotations

from tasks.records.base import Record
from tasks.stores.lake.schemas import RETENTION_DAYS
from tasks.stores.markdown import cell


class KeptVersion(Record):
    """A version that is kept though it is older than the retention.

    Attributes:
        why: What refers to it.
        lost: Files of it that were gone before; such a version can't be read any more.
    """

    version: int
    why: tuple[str, ...]
    lost: int = 0


class TableUpkeep(Record):
    """What was done for one table; in a dry run, what would be.

    Attributes:
        version: The newest version afterwards.
        merged: Small files that went into larger ones.
        files: Files of the newest version afterwards.
        freed_files, freed_bytes: What was deleted.
        since: From this version on, all can be read: none was replaced longer ago than the retention.
        kept: Older versions that are kept.
    """

    table: str
    version: int
    merged: int = 0
    files: int
    freed_files: int
    freed_bytes: int
    since: int
    kept: tuple[KeptVersion, ...] = ()


class UpkeepReport(Record):
    """What one upkeep run did.

    Attributes:
        keep_days: How long a version is kept once another has replaced it, in days.
        staged_files, staged_bytes: What killed runs had left below state/staging, and was deleted.
        notes: What was left alone, and why.
    """

    pipeline: str
    dry_run: bool
    keep_days: float
    tables: tuple[TableUpkeep, ...] = ()
    staged_files: int = 0
    staged_bytes: int = 0
    notes: tuple[str, ...] = ()

    @property
    def freed_bytes(self) -> int:
        """Bytes that were freed, in all."""
        return self.staged_bytes + sum(one.freed_bytes for one in self.tables)

    @property
    def freed_files(self) -> int:
        """Files that were deleted, in all."""
        return self.staged_files + sum(one.freed_files for one in self.tables)


HEAD = ("table", "newest", "files", "merged", "freed", "all readable from", "older versions kept")


def headline(report: UpkeepReport) -> str:
    """The outcome in a line."""
    verb = "would be freed" if report.dry_run else "freed"
    files = f"{report.freed_files} file{'' if report.freed_files == 1 else 's'}"
    return f"{report.pipeline}: {size(report.freed_bytes)} {verb} ({files})"


def rows(report: UpkeepReport) -> list[tuple[str, ...]]:
    """A line for each table, as `HEAD` names its cells."""
    return [_row(one) for one in report.tables]


def _row(one: TableUpkeep) -> tuple[str, ...]:
    kept = ", ".join(f"{each.version}{' (lost)' if each.lost else ''}" for each in one.kept) or "–"
    freed = f"{size(one.freed_bytes)} ({one.freed_files})"
    return (one.table, str(one.version), str(one.files), str(one.merged), freed, str(one.since), kept)


def reasons(report: UpkeepReport) -> list[str]:
    """Why older versions are kept, and what was left alone, a line each."""
    told = []
    for one in report.tables:
        for each in one.kept:
            lost = f"; {each.lost} of its files are gone: it can't be read" if each.lost else ""
            told.append(f"{one.table} version {each.version} is kept: {'; '.join(each.why)}{lost}")
    return [*told, *report.notes]


def page(report: UpkeepReport) -> str:
    """The run's page in markdown."""
    short = "".join(f" Of `{name}`: in the last {24 * days:g} hours." for name, days in RETENTION_DAYS.items())
    lines = [
        f"# {headline(report)}",
        f"Every version is kept that was current in the last {report.keep_days:g} days.{short}",
        "",
        f"| {' | '.join(HEAD)} |",
        f"|{' --- |' * len(HEAD)}",
        *(f"| {' | '.join(cell(text) for text in row)} |" for row in rows(report)),
        "",
        *(f"- {line}" for line in reasons(report)),
    ]
    if report.staged_files:
        lines.append(f"- {report.staged_files} files of killed runs below state/staging ({size(report.staged_bytes)})")
    return "\n".join(lines)


def size(count: int) -> str:
    """Bytes for people."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError("unreachable")
