"""Entries of quarantine are readmitted, or dropped."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from prefect import flow
from pydantic import JsonValue

from configs.schema import PipelineConfig
from flows.context import stage_context
from flows.ingest import ingest
from tasks.context import writing
from tasks.errors import PerennialError
from tasks.progress import say
from tasks.quarantine import drop as dropping
from tasks.quarantine.entries import Quarantine, no_entries_error
from tasks.quarantine.listing import OpenEntries
from tasks.quarantine.readmission import (
    Readmission,
    ReadmitRequest,
    close_rejected,
    entries_by_row,
    pending_files,
    prepare_readmission,
    selected_keys,
)
from tasks.quarantine.readmission_files import format_keys
from tasks.quarantine.readmit_report import EntriesByRow, ReadmitReport, readmit_outcomes
from tasks.quarantine.select import Key, Selection
from tasks.quarantine.task import open_entries
from tasks.stores.lake.tables import Lake
from tasks.stores.settings import Settings
from tasks.stores.state.audit import Audit, Phase
from tasks.stores.state.tokens import person

_TRIES = 3


@flow(name="readmit", flow_run_name="readmit-{pipeline}")
def readmit(
    pipeline: str,
    selection: Selection | None = None,
    repaired: Path | None = None,
    of: str | None = None,
    now: datetime | None = None,
) -> ReadmitReport:
    """Readmit entries: validate them by the present contract, as they are or as a person repaired them.

    Args:
        pipeline: The pipeline's name.
        selection: Which entries; all that wait by default.
        repaired: A file instead: an export with repaired cells, or, with `of`, any that stands for a refused file.
        of: The refused file that `repaired` stands for: its id.
        now: The run's clock.

    Raises:
        UsageError: nothing fits, or the repaired file is none of this pipeline's.
        DataRejectedError: the repaired file can't be read.
    """
    request = ReadmitRequest(selection or Selection(), repaired, of)
    before: list[Key] = []
    with stage_context(pipeline, now) as context:
        config, settings, moment = context.config, context.settings, context.now
        for _ in range(_TRIES):
            with writing(settings, pipeline, "data"):
                earlier = pending_files(config, settings)
                if not earlier:
                    handed = prepare_readmission(config, settings, request, before, moment)
                    break
                before = before or selected_keys(config, settings, request)
            say(f"{len(earlier)} files that were readmitted earlier are ingested first")
            ingest(pipeline, moment, tuple(earlier))
        else:
            raise PerennialError(f"{pipeline}: other readmissions go on. Try again once they have ended.")
        if handed.ingest_paths:
            ingest(pipeline, moment, tuple(sorted(handed.ingest_paths)))
        if repaired is None:
            with writing(settings, pipeline, "data"):
                close_rejected(config, settings, handed, moment)
        return _report(config, settings, handed)


def _report(config: PipelineConfig, settings: Settings, handed: Readmission) -> ReadmitReport:
    quarantine = Quarantine(Lake(settings, config))
    into = {found.into for key in handed.keys if (found := quarantine.resolution(key)) is not None}
    batches = [record for one in {*into, *handed.batches} if (record := quarantine.batch(one or "")) is not None]
    origins: EntriesByRow = {one.batch: entries_by_row(config, settings, one) for one in batches}
    message = tuple(readmit_outcomes(quarantine, handed.keys, origins, handed.batches))
    refused = tuple(one.path for one in batches if one.verdict == "rejected" and one.batch in handed.batches)
    return ReadmitReport(
        pipeline=config.name, files=handed.paths, outcomes=message, rejected=refused, notes=tuple(handed.notes)
    )


@flow(name="drop", flow_run_name="drop-{pipeline}")
def drop(pipeline: str, selection: Selection, expected: int, why: str = "", now: datetime | None = None) -> OpenEntries:
    """Drop entries: recorded in the audit, and their values deleted from quarantine.

    Args:
        pipeline: The pipeline's name.
        selection: Which entries.
        expected: How many a person was shown that there are.
        why: Why, for whoever asks later.
        now: The run's clock.

    Raises:
        UsageError: nothing fits.
        PerennialError: there are not as many any more.
    """
    with stage_context(pipeline, now) as context:
        settings, moment = context.settings, context.now
        who = person(settings).name
        with writing(settings, pipeline, "data"):
            quarantine = Quarantine(Lake(settings, context.config))
            keys = dropping.open_keys(quarantine, quarantine.resolve(selection))
            if not keys:
                raise no_entries_error(pipeline, selection)
            if len(keys) != expected:
                raise PerennialError(f"{pipeline}: {len(keys)} entries fit now, {expected} were shown. Look again.")
            intent = _note(settings, pipeline, keys, who, why, moment, None)
            dropping.drop(quarantine, keys, who, why, moment)
            _note(settings, pipeline, keys, who, why, moment, intent)
            open_entries(context)
    files = sum(key.row is None for key in keys)
    return OpenEntries(rows=len(keys) - files, files=files)


def _note(
    settings: Settings, pipeline: str, keys: list[Key], who: str, why: str, at: datetime, intent: int | None
) -> int:
    """A line of the audit: the intent to drop entries, or that it is done."""
    details: dict[str, JsonValue] = {"entries": len(keys), "first": format_keys(keys)}
    phase: Phase = "intent" if intent is None else "done"
    return Audit(settings).write(pipeline, "drop", phase, at=at, actor=who, reason=why, details=details, intent=intent)
