"""The report on an upkeep run: freed files, and kept versions with reasons."""

from __future__ import annotations

from tasks.records.base import Record
from tasks.stores.lake.schemas import RETENTION_DAYS
from tasks.stores.markdown import cell


class KeptVersion(Record):
    """A version kept beyond the retention.

    Attributes:
        why: Reasons to keep it.
        lost: Number of its files that are missing; such a version can't be read.
    """

    version: int
    why: tuple[str, ...]
    lost: int = 0


class TableUpkeep(Record):
    """The upkeep of one table; in a dry run, what would be done.

    Attributes:
        version: The newest version after upkeep.
        merged: Number of small files merged into larger ones.
        files: Number of files of the newest version.
        freed_files, freed_bytes: Number and size of deleted files.
        since: All versions from this one on are within the retention and can be read.
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
    """The report on one upkeep run.

    Attributes:
        keep_days: Retention of replaced versions in days.
        staged_files, staged_bytes: Number and size of deleted files of interrupted runs below state/staging.
        notes: What was skipped, and why.
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
        """Total size of deleted files in bytes."""
        return self.staged_bytes + sum(one.freed_bytes for one in self.tables)

    @property
    def freed_files(self) -> int:
        """Total number of deleted files."""
        return self.staged_files + sum(one.freed_files for one in self.tables)


HEADER = ("table", "newest", "files", "merged", "freed", "all readable from", "older versions kept")


def headline(report: UpkeepReport) -> str:
    """Return the outcome in one line."""
    verb = "would be freed" if report.dry_run else "freed"
    files = f"{report.freed_files} file{'' if report.freed_files == 1 else 's'}"
    return f"{report.pipeline}: {format_bytes(report.freed_bytes)} {verb} ({files})"


def rows(report: UpkeepReport) -> list[tuple[str, ...]]:
    """Return a row for each table, with the columns of `HEADER`."""
    return [_row(table) for table in report.tables]


def _row(table: TableUpkeep) -> tuple[str, ...]:
    kept = (
        ", ".join(f"{kept_version.version}{' (lost)' if kept_version.lost else ''}" for kept_version in table.kept)
        or "–"
    )
    freed = f"{format_bytes(table.freed_bytes)} ({table.freed_files})"
    return (table.table, str(table.version), str(table.files), str(table.merged), freed, str(table.since), kept)


def reasons(report: UpkeepReport) -> list[str]:
    """Return lines on why older versions are kept, and the notes."""
    lines = []
    for table in report.tables:
        for kept in table.kept:
            lost = f"; {kept.lost} of its files are missing: it can't be read" if kept.lost else ""
            lines.append(f"{table.table} version {kept.version} is kept: {'; '.join(kept.why)}{lost}")
    return [*lines, *report.notes]


def page(report: UpkeepReport) -> str:
    """Return the page in markdown."""
    short = "".join(f" Of `{name}`: in the last {24 * days:g} hours." for name, days in RETENTION_DAYS.items())
    lines = [
        f"# {headline(report)}",
        f"All versions that were current in the last {report.keep_days:g} days are kept.{short}",
        "",
        f"| {' | '.join(HEADER)} |",
        f"|{' --- |' * len(HEADER)}",
        *(f"| {' | '.join(cell(text) for text in row)} |" for row in rows(report)),
        "",
        *(f"- {line}" for line in reasons(report)),
    ]
    if report.staged_files:
        lines.append(
            f"- {report.staged_files} files of interrupted runs below state/staging "
            f"({format_bytes(report.staged_bytes)})"
        )
    return "\n".join(lines)


def format_bytes(count: int) -> str:
    """Return a size with a unit, such as 1.5 MiB."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError("unreachable")
