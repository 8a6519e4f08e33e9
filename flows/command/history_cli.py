"""The command `perennial history`: what changed from version to version, what it did and what it cost."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.command.console import print_result
from tasks.errors import UsageError


def history(
    name: Annotated[str, typer.Argument(help="The pipeline's name.", show_default=False)],
    version: Annotated[int | None, typer.Option(help="One version; left out, all.")] = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Markdown, for a pull request.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Tell what changed from version to version, its effect on each metric, and its cost."""
    if as_markdown and as_json:
        raise UsageError("--markdown and --json exclude each other.")
    from flows.command.changes.page import markdown, text
    from flows.command.changes.read import read
    from flows.context import open_pipeline

    one = read(*open_pipeline(name), version)
    print_result(as_json, one.model_dump(mode="json"), markdown(one) if as_markdown else text(one))
    if one.notes:
        raise typer.Exit(1)  # damaged records: what could be read was told
