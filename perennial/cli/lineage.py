"""The command `perennial lineage`: what a version is made of, and what came of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from perennial.cli.render import print_result
from tasks.errors import UsageError

Address = Annotated[
    str,
    typer.Argument(
        metavar="NAME[@VERSION|@champion|@TIME]",
        help="A pipeline and its version, or a time that it was live at; alone, the champion.",
        show_default=False,
    ),
]


def lineage(
    address: Address,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with the graph to this file; it needs nothing else.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Show the lineage of a version: its files, how it was evaluated, and its predictions."""
    from flows.context import open_pipeline
    from perennial.reporting.lineage.read import read
    from perennial.reporting.lineage.text import text

    name, at, what = address.partition("@")
    one = read(*open_pipeline(name), what.strip() if at else None, datetime.now(UTC))
    if html is not None:
        from perennial.reporting.lineage.page import page

        _write(html, page(one))
    written = f"{name} version {one.version}: its lineage is in {html}"
    print_result(as_json, one.model_dump(mode="json"), text(one) if html is None else written)
    if one.problems:
        raise typer.Exit(1)  # what could be read was reported


def _write(path: Path, content: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--html: {path} can't be written: {error.strerror or error}.") from None
