"""The command `perennial docs`: what the expectations found, as pages to open in a browser."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from perennial.cli.render import print_result


def docs(
    name: Annotated[str, typer.Argument(help="The pipeline's name.", show_default=False)],
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Make Great Expectations' Data Docs of the newest 50 files."""
    from flows.context import open_pipeline
    from tasks.validation.docs.site import build_docs

    config, settings = open_pipeline(name)
    built = build_docs(settings, config)
    for problem in built.problems:
        sys.stderr.write(f"not drawn: {problem}\n")
    if show:
        typer.launch(Path(built.index).as_uri())
    print_result(as_json, {"pipeline": name, **built.model_dump(mode="json")}, built.index)
