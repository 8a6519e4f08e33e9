"""The command `perennial score`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from perennial.cli.render import ConsoleReporter, console, print_result
from tasks.records.report import ScoreReport

_MOMENTS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]


def score(
    name: Annotated[str, typer.Argument(help="The pipeline's name: a YAML in configs/.", show_default=False)],
    source: Annotated[
        str | None,
        typer.Option("--input", help="File or URL to score: csv, parquet, jsonl, feather, Excel, also compressed."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", help="File or URL of the result: .csv, .parquet or .jsonl. Left out, into the lake."),
    ] = None,
    version: Annotated[int | None, typer.Option(help="The version that scores. Left out, the champion.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
    now: Annotated[datetime | None, typer.Option("--now", formats=_MOMENTS, help="The run's clock (UTC).")] = None,
) -> None:
    """Score a file; without --input, the observations that have no prediction yet. Nothing is scored twice."""
    from flows.context import open_pipeline
    from perennial.ops.session import prefect_session
    from tasks.progress import reporting

    _, settings = open_pipeline(name)
    with reporting(ConsoleReporter(console())), prefect_session(settings, "flows.score"):
        from flows.score import addresses
        from flows.score import score as flow

        # Looked at before they are a run's parameters, which are kept.
        given, into = addresses(source, output)
        found: Any = flow(name, given and str(given), into and str(into), version, now)
    print_result(as_json, {"pipeline": name, **found.model_dump(mode="json")}, _text(name, found))


def _text(name: str, report: ScoreReport) -> str:
    where = report.output or f"the lake's {report.table} of {name}"
    if report.known:
        return (
            f"{name}: nothing was scored: {where} has the result of just this input "
            f"({report.input_sha256[:12]}) and version {report.version} already"
        )
    return f"{name}: {report.rows} rows scored by version {report.version} into {where}"
