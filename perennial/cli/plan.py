"""`perennial plan`: what a run would do, and why."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from perennial.cli.render import print_result, table
from tasks.lifecycle.plan import StagePlan


def plan(
    name: Annotated[str, typer.Argument(help="The pipeline's name: a YAML in configs/.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
    now: Annotated[
        datetime | None,
        typer.Option(
            "--now", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"], help="The run's clock (UTC)."
        ),
    ] = None,
) -> None:
    """Show what `perennial run` would do, stage by stage, and why. Nothing is run."""
    from flows.context import open_pipeline
    from tasks.lifecycle.plan import plan as make
    from tasks.stores.runtime import clock

    found = make(*open_pipeline(name), clock(now))
    head = ("stage", "what", "last (UTC)", "took", "why")
    message = table([head, *(line for one in found.stages for line in _lines(one))]).rstrip("\n")
    end = f"{name}: nothing to do" if found.idle else f"`perennial run {name}` does this"
    print_result(as_json, found.model_dump(mode="json"), f"{message}\n\n{end}")


def _lines(one: StagePlan) -> list[tuple[str, ...]]:
    """A stage's first reason beside its name, the others below."""
    last = "never" if one.last is None else f"{one.last:%Y-%m-%d %H:%M}"
    took = "" if one.seconds is None else f"{one.seconds:.1f} s"
    first, *more = one.reasons or ("",)
    return [(one.stage, one.action, last, took, first), *(("", "", "", "", reason) for reason in more)]
