"""The command `perennial history`: what changed from version to version, what it did and what it cost."""

from __future__ import annotations

from typing import Annotated

import typer

from configs.schema import PipelineConfig
from perennial.cli.render import ConsoleReporter, console, print_result
from perennial.reporting.changes.records import Attribution
from tasks.errors import UsageError
from tasks.progress import reporting
from tasks.stores.settings import Settings


def history(
    name: Annotated[str, typer.Argument(help="The pipeline's name.", show_default=False)],
    version: Annotated[int | None, typer.Option(help="One version; left out, all.")] = None,
    attribute: Annotated[
        bool,
        typer.Option(
            "--attribute", help="Rebuild the version, or the newest, with one change at a time: how much did each do?"
        ),
    ] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Markdown, for a pull request.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Show what changed from version to version, its effect on each metric, and its cost."""
    if as_markdown and as_json:
        raise UsageError("--markdown and --json exclude each other.")
    from flows.context import open_pipeline
    from perennial.reporting.changes.page import markdown, text
    from perennial.reporting.changes.read import read

    config, settings = open_pipeline(name)
    one = read(config, settings, version)
    if attribute:
        one = one.model_copy(update={"attribution": _attributed(config, settings, version)})
    print_result(as_json, one.model_dump(mode="json"), markdown(one) if as_markdown else text(one))
    if one.notes:
        raise typer.Exit(1)  # damaged records: what could be read was reported


def _attributed(config: PipelineConfig, settings: Settings, version: int | None) -> Attribution:
    """How much each change did; reported while it runs, as it takes as long as several trainings."""
    from perennial.reporting.changes.read import neighbours

    before, now, change = neighbours(config, settings, version)
    with reporting(ConsoleReporter(console())):
        from perennial.reporting.changes.attribute import attribute

        return attribute(config, settings, before, now, change)
