"""Upkeep of the lake. The pipeline's model and data locks are held."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tasks.context import StageContext
from tasks.records.data import TrainingSetRef
from tasks.stores.lake import delta, maintenance, versions
from tasks.stores.lake.schemas import RETENTION_DAYS, TableName
from tasks.stores.lake.tables import Lake
from tasks.stores.state import candidates
from tasks.stores.state.audit import Audit
from tasks.upkeep import references, report
from tasks.upkeep.references import Reference

_STAGING_SECONDS = 24 * 3600.0


def collect_references(context: StageContext) -> list[Reference]:
    """Return the references of registered models, waiting candidates and stored training sets."""
    from tasks.stores.registry.tracking import Tracking

    pipeline, settings = context.pipeline, context.settings
    folder = settings.state / "training" / pipeline
    stored = [
        TrainingSetRef.model_validate_json(path.read_text(encoding="utf-8")) for path in folder.glob("*/ref.json")
    ]
    return [
        *references.model_references(Tracking(settings, pipeline).registered()),
        *references.candidate_references(candidates.waiting(Audit(settings), pipeline)),
        *references.training_set_references(stored),
    ]


def maintain_table(
    context: StageContext, table: TableName, table_references: Sequence[Reference], *, dry_run: bool
) -> report.TableUpkeep | None:
    """Compact a table, write a checkpoint, and delete files that no kept version uses; None: no such table.

    Args:
        context: The run's context.
        table: The table's name.
        table_references: References to versions.
        dry_run: Whether to report only.

    Raises:
        UpkeepError: the table's log is incomplete. Nothing was deleted.
    """
    config = context.config
    url = Lake(context.settings, config).url(table)
    opened = delta.open_table(url)
    if opened is None:
        return None
    merged = len(maintenance.small_files(opened))
    if merged < config.upkeep.compact_files:
        merged = 0
    if not dry_run:
        merged = maintenance.compact(opened) if merged else 0
        maintenance.checkpoint(opened)
    newest = opened.version()
    keep_days = min(config.upkeep.keep_days, RETENTION_DAYS.get(table, config.upkeep.keep_days))
    since = _since(opened, keep_days, context.now, keep_all=bool(references.unknown_versions(table_references, table)))
    kept = tuple(
        report.KeptVersion(version=version, why=why, lost=maintenance.count_missing_files(url, version))
        for version, why in references.reasons_by_version(table_references, table).items()
        if version < since
    )
    unreferenced_files = maintenance.unreferenced_files(
        url, opened, since, [kept_version.version for kept_version in kept]
    )
    draft_files = maintenance.leftover_drafts(url)
    if not dry_run:
        maintenance.delete_files(opened, unreferenced_files)
        for path in draft_files:
            Path(path).unlink(missing_ok=True)
    return report.TableUpkeep(
        table=table,
        version=newest,
        merged=merged,
        files=len(versions.data_files(opened)),
        freed_files=len(unreferenced_files) + len(draft_files),
        freed_bytes=sum(unreferenced_files.values()) + sum(draft_files.values()),
        since=since,
        kept=kept,
    )


def _since(opened: delta.Table, keep_days: float, now: datetime, *, keep_all: bool) -> int:
    """Return the first version within the retention; 0 if all are kept."""
    if keep_all:
        return 0
    # The run's clock can be ahead of the real one; recently written versions are never expired.
    oldest = min(now, datetime.now(UTC)) - max(timedelta(days=keep_days), maintenance.MINIMUM_AGE)
    return versions.version_at(opened, oldest) or 0


def clear_staging(context: StageContext, *, dry_run: bool) -> tuple[int, int]:
    """Delete files of interrupted runs below state/staging that are older than a day; return number and size."""
    oldest = time.time() - _STAGING_SECONDS
    folder = context.settings.state / "staging"
    own = [path for path in folder.glob("*") if path.name.lstrip(".").startswith(f"{context.pipeline}-")]
    expired = [(path, path.stat().st_size) for path in own if path.is_file() and path.stat().st_mtime < oldest]
    for path, _ in expired:
        if not dry_run:
            path.unlink(missing_ok=True)
    return len(expired), sum(size for _, size in expired)
