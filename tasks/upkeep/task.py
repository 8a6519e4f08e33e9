"""Prefect tasks of upkeep. The pipeline's model and data locks are held."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from configs.schema import PipelineConfig
from tasks.records.base import artifact_key
from tasks.records.data import TrainingSetRef
from tasks.retry import RETRIES
from tasks.stores.lake import delta, maintenance, versions
from tasks.stores.lake.schemas import RETENTION_DAYS, TableName
from tasks.stores.lake.tables import Lake
from tasks.stores.settings import load_settings
from tasks.stores.state import candidates
from tasks.stores.state.audit import Audit
from tasks.upkeep import references, report
from tasks.upkeep.references import Reference

_LEFT_SECONDS = 24 * 3600.0


@task(name="referred-versions", cache_policy=NO_CACHE, **RETRIES)
def referred(config: PipelineConfig) -> list[Reference]:
    """Versions that registered models, waiting candidates and the stored training set refer to."""
    from tasks.stores.registry.tracking import Tracking

    settings = load_settings()
    folder = settings.state / "training" / config.name
    stored = [
        TrainingSetRef.model_validate_json(path.read_text(encoding="utf-8")) for path in folder.glob("*/ref.json")
    ]
    return [
        *references.of_models(Tracking(settings, config.name).registered()),
        *references.of_candidates(candidates.waiting(Audit(settings), config.name)),
        *references.of_training_sets(stored),
    ]


@task(name="tend", task_run_name="tend-{table}", cache_policy=NO_CACHE, **RETRIES)
def tend(
    config: PipelineConfig, table: TableName, refer: Sequence[Reference], now: datetime, *, dry_run: bool
) -> report.TableUpkeep | None:
    """Merge a table's small files, write a checkpoint, free files that no kept version has; None: no such table.

    Args:
        config: The pipeline.
        table: The table's name.
        refer: What refers to versions.
        now: The run's clock.
        dry_run: Whether only to tell what would be freed.

    Raises:
        UpkeepError: the table's log lacks what must be known. Nothing of it was freed.
    """
    url = Lake(load_settings(), config).url(table)
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
    since = _since(opened, keep_days, now, all_of_them=bool(references.unknown(refer, table)))
    kept = tuple(
        report.KeptVersion(version=version, why=why, lost=maintenance.count_missing_files(url, version))
        for version, why in references.by_version(refer, table).items()
        if version < since
    )
    free = maintenance.unreferenced_files(url, opened, since, [one.version for one in kept])
    drafts = maintenance.leftover_drafts(url)
    if not dry_run:
        maintenance.delete_files(opened, free)
        for path in drafts:
            Path(path).unlink(missing_ok=True)
    return report.TableUpkeep(
        table=table,
        version=newest,
        merged=merged,
        files=len(versions.data_files(opened)),
        freed_files=len(free) + len(drafts),
        freed_bytes=sum(free.values()) + sum(drafts.values()),
        since=since,
        kept=kept,
    )


def _since(opened: delta.Table, keep_days: float, now: datetime, *, all_of_them: bool) -> int:
    """The first version of those that are kept for their age; 0 where all are."""
    if all_of_them:
        return 0
    # By the real clock where the run's is ahead of it: what was written a moment ago is never old.
    edge = min(now, datetime.now(UTC)) - max(timedelta(days=keep_days), maintenance.MINIMUM_AGE)
    return versions.version_at(opened, edge) or 0


@task(name="clear-staging", cache_policy=NO_CACHE, **RETRIES)
def clear_staging(config: PipelineConfig, *, dry_run: bool) -> tuple[int, int]:
    """Delete what killed runs left below state/staging more than a day ago; how many files, and their bytes."""
    edge = time.time() - _LEFT_SECONDS
    folder = load_settings().state / "staging"
    mine = [path for path in folder.glob("*") if path.name.lstrip(".").startswith(f"{config.name}-")]
    left = [(path, path.stat().st_size) for path in mine if path.is_file() and path.stat().st_mtime < edge]
    for path, _ in left:
        if not dry_run:
            path.unlink(missing_ok=True)
    return len(left), sum(size for _, size in left)


@task(name="show-upkeep", cache_policy=NO_CACHE, **RETRIES)
def show(done: report.UpkeepReport) -> None:
    """The run's page."""
    key = artifact_key(done.pipeline, "upkeep")
    create_markdown_artifact(report.page(done), key=key, description=report.headline(done))
