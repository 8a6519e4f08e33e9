"""Files that landed become observations and labels, each once: ingestion and validation, group by group."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import JsonValue

from configs.contract import Expectation
from tasks.context import Execute, StageContext, direct, writing
from tasks.events import emit
from tasks.ingestion.stage import commit_groups, discover, read
from tasks.lifecycle.dependencies import validation_config
from tasks.progress import say
from tasks.provenance.manifests import store_manifest
from tasks.quarantine.listing import open_in_groups
from tasks.quarantine.stage import open_entries
from tasks.records.data import BatchRecord, IngestReport, LandedFile
from tasks.records.provenance import StageDependencies
from tasks.stores.lineage.emitter import emit_stage
from tasks.stores.lineage.stage_data import StageData
from tasks.stores.locks.lock import HeldLock
from tasks.stores.usage import Meter
from tasks.validation.stage import refer_to_champion, remove_staged, validate

_SHOWN = 10


def run_ingestion(
    context: StageContext, only: tuple[str, ...] | None = None, execute: Execute = direct
) -> IngestReport:
    """Ingest what landed: read, validate, quarantine, append.

    Args:
        context: The run's context.
        only: Paths below the landing folder; all that landed by default.
        execute: Calls the stages.
    """
    meter = Meter()
    with writing(context.settings, context.pipeline, "data") as lock:
        found = execute(discover, context, only)
        for line in found.messages:
            say(line)
        report = _ingest(context, found.files, lock, execute)
        readmitted = any(one.origin == "readmitted" for one in found.files)
        if any(one.quarantined for one in report.batches) or report.rejected or readmitted:
            say(f"{open_in_groups(execute(open_entries, context)).description} in quarantine")
    if report.batches:
        _store_manifest(context, report, meter)
    _emit(context, report)
    return report


def _ingest(context: StageContext, files: Sequence[LandedFile], lock: HeldLock, execute: Execute) -> IngestReport:
    """Read and validate files, group by group. The data lock is held."""
    config = context.config
    report = IngestReport(pipeline=config.name)
    if not files:
        return report
    expectations: Sequence[Expectation] = config.expectations
    if any(one.reference for one in expectations):
        expectations = execute(refer_to_champion, context)
    with emit_stage(config, "ingestion", StageData(files=tuple(files)), at=context.now) as stage:
        for group in commit_groups(files):
            staged = execute(read, context, group)
            lock.check()
            records = execute(validate, context, staged, expectations).batches if staged else ()
            remove_staged(staged)  # last: another try of the validation reads them again
            report = report.model_copy(update={"batches": (*report.batches, *records)})
            stage.add_output(report)
            say(f"{len(report.batches)} of {len(files)} files read")
            for record in records:
                if record.quarantined or record.verdict == "rejected" or len(files) <= _SHOWN:
                    say(message(record))
    return report


def _store_manifest(context: StageContext, report: IngestReport, meter: Meter) -> None:
    """Keep what this run ingested, and by which rules."""
    dependencies = StageDependencies(
        config=validation_config(context.config), inputs={"batches": sorted(one.batch for one in report.batches)}
    )
    counts: dict[str, JsonValue] = {
        "accepted": len(report.accepted),
        "rejected": len(report.rejected),
        "rows": sum(one.accepted for one in report.accepted),
        "through_seq": max(one.seq for one in report.batches),
    }
    store_manifest(context, "ingestion", dependencies, counts, meter)


def _emit(context: StageContext, report: IngestReport) -> None:
    if report.accepted:
        rows = sum(one.accepted for one in report.accepted)
        emit(context, "perennial.dataset.updated", {"files": len(report.accepted), "rows": rows})
    if report.rejected:
        first: list[JsonValue] = [{"path": one.path, "reasons": list(one.reasons)} for one in report.rejected[:_SHOWN]]
        emit(context, "perennial.data.rejected", {"files": len(report.rejected), "first": first})


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
