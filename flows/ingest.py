"""Files that landed become observations and labels, each once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from prefect import flow
from pydantic import JsonValue

from configs.schema import PipelineConfig
from flows.context import open_pipeline, writing
from flows.events import emit
from flows.openlineage import lineage_run
from flows.progress import say
from flows.stages import keep
from tasks.ingestion.task import commit_groups, discover, read
from tasks.lifecycle.dependencies import judged_by
from tasks.quarantine.task import publish_quarantine_page
from tasks.records.data import BatchRecord, IngestReport, LandedFile
from tasks.records.provenance import StageDependencies
from tasks.stores.lineage.emitter import emit_stage
from tasks.stores.lineage.stage_data import StageData
from tasks.stores.locks.lock import HeldLock
from tasks.stores.runtime import clock
from tasks.stores.settings import Settings
from tasks.stores.state.manifests import Manifests
from tasks.stores.usage import Meter
from tasks.validation.task import refer_to_champion, validate

_SHOWN = 10


@flow(name="ingest", flow_run_name="ingest-{pipeline}", log_prints=False)
def ingest(pipeline: str, now: datetime | None = None, only: tuple[str, ...] | None = None) -> IngestReport:
    """Take in what landed: read, validate, quarantine, append.

    Args:
        pipeline: The pipeline's name.
        now: The run's clock; the present by default.
        only: Paths below the landing folder; all that landed by default.
    """
    config, settings = open_pipeline(pipeline)
    moment = clock(now)
    meter = Meter()
    with lineage_run(settings, pipeline):
        with writing(settings, pipeline, "data") as lock:
            found = discover(config, moment, only)
            for line in found.messages:
                say(line)
            report = _take(config, found.files, lock, moment)
            if any(one.quarantined for one in report.batches) or report.rejected or _returned(found.files):
                publish_quarantine_page(config)
        if report.batches:
            _keep(config, settings, report, meter, moment)
        _tell_world(settings, report)
    return report


def _take(config: PipelineConfig, files: Sequence[LandedFile], lock: HeldLock, moment: datetime) -> IngestReport:
    """Read files and judge them, group by group. The data lock is held."""
    report = IngestReport(pipeline=config.name)
    if not files:
        return report
    refers = any(one.reference for one in config.expectations)
    expected = refer_to_champion(config) if refers else config.expectations
    with emit_stage(config, "ingestion", StageData(files=tuple(files)), at=moment) as stage:
        for group in commit_groups(files):
            staged = read(config, group)
            lock.check()
            records = validate(config, staged, moment, expected) if staged else ()
            report = report.model_copy(update={"batches": (*report.batches, *records)})
            stage.add_output(report)
            say(f"{len(report.batches)} of {len(files)} files taken")
            for record in records:
                if record.quarantined or record.verdict == "rejected" or len(files) <= _SHOWN:
                    say(message(record))
    return report


def _keep(config: PipelineConfig, settings: Settings, report: IngestReport, meter: Meter, moment: datetime) -> None:
    """Keep what this run took, and what it judged files by."""
    parts = StageDependencies(config=judged_by(config), inputs={"batches": sorted(one.batch for one in report.batches)})
    counts: dict[str, JsonValue] = {
        "accepted": len(report.accepted),
        "rejected": len(report.rejected),
        "rows": sum(one.accepted for one in report.accepted),
        "through_seq": max(one.seq for one in report.batches),
    }
    keep(Manifests(settings, config.name), "ingestion", parts, counts, meter, moment)


def _returned(files: Sequence[LandedFile]) -> bool:
    return any(one.origin == "readmitted" for one in files)


def _tell_world(settings: Settings, report: IngestReport) -> None:
    if report.accepted:
        rows = sum(one.accepted for one in report.accepted)
        emit(settings, "perennial.dataset.updated", report.pipeline, {"files": len(report.accepted), "rows": rows})
    if report.rejected:
        files: list[JsonValue] = [{"path": one.path, "reasons": list(one.reasons)} for one in report.rejected[:_SHOWN]]
        emit(settings, "perennial.data.rejected", report.pipeline, {"files": len(report.rejected), "first": files})


def message(record: BatchRecord) -> str:
    """A batch in one line."""
    changed = f" (changed: other content came under this name as {record.former[:12]})" if record.former else ""
    if record.verdict == "rejected":
        return f"{record.path}{changed}: rejected, {'; '.join(record.reasons)}"
    counts = {
        "in quarantine": record.quarantined,
        "duplicates recorded": record.duplicates,
        "in place of earlier ones": record.superseded,
    }
    more = "".join(f", {count} {name}" for name, count in counts.items() if count)
    notes = "".join(f"; {note}" for note in record.notes if note.startswith("warning:"))
    return f"{record.path}{changed}: {record.accepted} rows accepted{more}{notes}"
