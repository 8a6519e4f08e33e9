"""The command `perennial upkeep`: what the deployment upkeep/any does every night."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from perennial.cli.render import ConsoleReporter, console, print_result
from perennial.cli.render import table as aligned
from tasks.upkeep.report import HEADER, UpkeepReport, headline, reasons, rows


def upkeep(
    name: Annotated[str | None, typer.Argument(help="A pipeline; left out, all.", show_default=False)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report what would be freed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
    now: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"], help="The run's clock (UTC)."),
    ] = None,
) -> None:
    """Merge the lake's small files, and free files of old versions that nothing refers to."""
    from configs.load import names
    from flows.context import open_pipeline
    from perennial.ops.session import prefect_session
    from tasks.progress import reporting

    chosen = [name] if name else names()
    _, settings = [open_pipeline(each) for each in chosen][-1]  # a mistake in any is reported before anything is done
    with reporting(ConsoleReporter(console())), prefect_session(settings, "flows.upkeep"):
        from flows.upkeep import upkeep as flow

        found = [flow(each, now, dry_run) for each in chosen]
    value = {"pipelines": [_json(one) for one in found], "freed_bytes": sum(one.freed_bytes for one in found)}
    print_result(as_json, value, "\n\n".join(_text(one) for one in found))


def _json(report: UpkeepReport) -> dict[str, object]:
    freed = {"freed_files": report.freed_files, "freed_bytes": report.freed_bytes}
    return {**report.model_dump(mode="json"), **freed}


def _text(report: UpkeepReport) -> str:
    message = [f"  {line}" for line in reasons(report)]
    return "\n".join([headline(report), *([aligned([HEADER, *rows(report)])] if report.tables else []), *message])
