"""The lake is kept: small files merged, old ones freed that nothing refers to; Data Docs are made."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import flow
from pydantic import JsonValue

from flows.context import stage_context
from tasks.context import StageContext, writing
from tasks.progress import say, timed
from tasks.stores.lake.tables import Lake
from tasks.stores.state.audit import UPKEEP, Audit
from tasks.upkeep.references import Reference, unknown_versions
from tasks.upkeep.report import TableUpkeep, UpkeepReport, format_bytes
from tasks.upkeep.task import clear_staging, collect_references, maintain_table, publish_upkeep_page
from tasks.validation.task import data_docs

_NEVER_FREED = "state/training, state/readmitted, models and landing are left alone"


@flow(name="upkeep", flow_run_name="upkeep-{pipeline}")
def upkeep(pipeline: str, now: datetime | None = None, dry_run: bool = False) -> UpkeepReport:
    """Merge the small files of a pipeline's tables, and free what no kept version has.

    Args:
        pipeline: The pipeline's name.
        now: The run's clock; the present by default.
        dry_run: Whether only to tell what would be freed.
    """
    with stage_context(pipeline, now) as context:
        report = _maintain(context, dry_run=dry_run)
        publish_upkeep_page(report)
        if dry_run:
            return report
        freed: dict[str, JsonValue] = {"freed_bytes": report.freed_bytes, "freed_files": report.freed_files}
        Audit(context.settings).write(
            pipeline, UPKEEP, "done", at=datetime.now(UTC), actor=context.actor, reason="upkeep", details=freed
        )
        # The lake is kept: upkeep does not fail for a page that could not be written.
        if data_docs(context, return_state=True).is_failed():
            say(f"the Data Docs could not be made; `perennial docs {pipeline}` makes them, or says why not")
    return report


def _maintain(context: StageContext, *, dry_run: bool) -> UpkeepReport:
    config, settings, pipeline = context.config, context.settings, context.pipeline
    tables: list[TableUpkeep] = []
    # Both locks, the model's first as everywhere: whoever trains refers to versions that are not noted yet.
    with writing(settings, pipeline, "model") as model, writing(settings, pipeline, "data") as data:
        refer = collect_references(context)
        for name in Lake(settings, config).tables:
            model.check()
            data.check()
            with timed(name) as running:
                done = maintain_table(context, name, refer, dry_run=dry_run)
                running.skipped = done is None or not (done.merged or done.freed_files)
                running.note = (
                    "" if done is None else f"{done.merged} files merged, {format_bytes(done.freed_bytes)} freed"
                )
            tables += [done] if done is not None else []
        staged_files, staged_bytes = clear_staging(context, dry_run=dry_run)
    return UpkeepReport(
        pipeline=pipeline,
        dry_run=dry_run,
        keep_days=config.upkeep.keep_days,
        tables=tuple(tables),
        staged_files=staged_files,
        staged_bytes=staged_bytes,
        notes=(*_notes(refer), _NEVER_FREED),
    )


def _notes(refer: list[Reference]) -> list[str]:
    """Why a table is kept whole."""
    found = {table: unknown_versions(refer, table) for table in ("observations", "labels")}
    return [
        f"all of {table} is kept: {', '.join(who)} does not record its version" for table, who in found.items() if who
    ]
