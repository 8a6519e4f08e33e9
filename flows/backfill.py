"""A range of landed files is ingested in order, a sub-run for each step. Stopped, a run goes on where it was."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, cast
from uuid import UUID

from prefect import flow
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.context import stage_context
from flows.ingest import ingest
from flows.lifecycle import lifecycle
from tasks.errors import PerennialError, UsageError
from tasks.ingestion.backfill import BackfillStep
from tasks.ingestion.task import plan_backfill
from tasks.progress import say
from tasks.records.base import Record, artifact_key
from tasks.records.data import IngestReport
from tasks.records.report import LifecycleReport
from tasks.stores.runtime import clock


class BackfillError(PerennialError):
    """A step failed; the steps before it are done."""


class StepReport(Record):
    """What one step came to."""

    name: str
    files: int
    rows: int
    outcome: str


class BackfillReport(Record):
    """What a backfill did, step by step."""

    pipeline: str
    steps: tuple[StepReport, ...]

    @property
    def rows(self) -> int:
        """Rows accepted."""
        return sum(one.rows for one in self.steps)


@flow(name="backfill", flow_run_name="backfill-{pipeline}")
def backfill(
    pipeline: str,
    first: str | None = None,
    last: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    each: Literal["lifecycle", "ingest"] = "lifecycle",
) -> State[BackfillReport]:
    """Ingest landed files in order, a sub-run each; those that were ingested before are passed over.

    Files whose names have the same numbers (a day's observations and its labels) are one step.

    Args:
        pipeline: The pipeline's name.
        first: Name of the first file; names are ordered by the numbers in them.
        last: Name of the last file, which is ingested, too.
        start: Begin of a range of event time, instead of names; UTC where it has no zone.
        end: Its end, which is not included.
        each: What is run for each step: the whole `lifecycle`, or `ingest` alone.
    """
    if (first or last) and (start or end):
        raise UsageError("Found names and times; expected a range of one kind: first and last, or start and end.")
    if start and end and clock(start) >= clock(end):
        raise UsageError(f"Found start {start} and end {end}; expected a start before the end.")
    with stage_context(pipeline, tables=False) as context:
        return _backfill(pipeline, plan_backfill(context, first, last, start, end), each)


def _backfill(pipeline: str, steps: list[BackfillStep], each: Literal["lifecycle", "ingest"]) -> State[BackfillReport]:
    key = artifact_key(pipeline, "backfill-progress")
    progress = cast("UUID", create_progress_artifact(0.0, key=key, description=f"{len(steps)} steps"))
    done: list[StepReport] = []
    for number, step in enumerate(steps, start=1):
        try:
            done.append(_run(pipeline, step, each))
        except PerennialError as error:
            raise BackfillError(
                f"step {number} of {len(steps)}, {step.name}: {error} The steps before it are done; "
                "run the backfill again to go on."
            ) from error
        say(f"{number} of {len(steps)}: {step.name}, {done[-1].rows} rows, {done[-1].outcome}")
        update_progress_artifact(progress, 100.0 * number / len(steps))
    report = BackfillReport(pipeline=pipeline, steps=tuple(done))
    create_markdown_artifact(_page(report), key=artifact_key(pipeline, "backfill"), description=f"{len(done)} steps")
    text = f"{len(done)} steps, {report.rows} rows" if done else "nothing in the range is new"
    return Completed(message=text, data=report)


def _run(pipeline: str, step: BackfillStep, each: Literal["lifecycle", "ingest"]) -> StepReport:
    if each == "ingest":
        taken: IngestReport = ingest(pipeline, only=step.paths)
        outcome = f"{len(taken.rejected)} rejected" if taken.rejected else "accepted"
    else:
        report: LifecycleReport = lifecycle(pipeline, only=step.paths)
        taken, outcome = report.ingest, report.outcome
    rows = sum(one.accepted for one in taken.accepted)
    return StepReport(name=step.name, files=len(step.paths), rows=rows, outcome=outcome)


def _page(report: BackfillReport) -> str:
    rows = [f"| {one.name} | {one.files} | {one.rows} | {one.outcome} |" for one in report.steps]
    head = [f"# {report.pipeline}: backfill", "", "| step | files | rows | outcome |", "| --- | ---: | ---: | --- |"]
    return "\n".join([*head, *rows])
