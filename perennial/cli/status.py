"""The command `perennial status`: what the stores know now, or which version was live at a time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from perennial.cli.render import detail, overview, print_result
from tasks.errors import PerennialError, UsageError
from tasks.stores.settings import load_settings


def status(
    name: Annotated[str | None, typer.Argument(help="A pipeline; left out, all.", show_default=False)] = None,
    at: Annotated[
        str | None,
        typer.Option(help="Which version was live then: ISO 8601, UTC without a zone; a date is its first moment."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Show champions, files, verdicts and drift; with --at, which version was live then, and why."""
    from flows.context import open_pipeline
    from perennial.reporting.history import read

    if at is not None:
        _live(name, at, as_json)
    elif name:
        one = read(*open_pipeline(name))
        print_result(as_json, one.model_dump(mode="json"), detail(one))
    else:
        _every(as_json)


def _live(name: str | None, at: str, as_json: bool) -> None:
    from flows.context import open_pipeline
    from perennial.reporting.champions import champion_at, parse_time, text
    from tasks.stores.state.audit import Audit

    if name is None:
        raise UsageError("--at is for one pipeline: name it, as in `perennial status NAME --at 2026-03-01T12:00`.")
    now = datetime.now(UTC)
    parse_time(at, datetime.max.replace(tzinfo=UTC))  # a wrong one is reported before anything is opened
    config, settings = open_pipeline(name)
    champion_periods = Audit(settings).champion_periods(config.name)
    when = parse_time(at, max([now, *(one.since for one in champion_periods)]))  # runs have clocks of their own
    one = champion_at(config.name, champion_periods, when)
    print_result(as_json, one.model_dump(mode="json"), text(one))


def _every(as_json: bool) -> None:
    from configs.load import names
    from flows.context import open_pipeline
    from perennial.ops.running import health, running
    from perennial.reporting.history import read

    histories, broken = [], {}
    for each in names():
        try:
            histories.append(read(*open_pipeline(each)))
        except PerennialError as error:
            broken[each] = str(error)
    services = health(running(load_settings()))
    message = [overview(histories), *(f"{each}: {reason}" for each, reason in broken.items()), "", services.message]
    found = [one.model_dump(mode="json") for one in histories]
    print_result(as_json, {"pipelines": found, "broken": broken, "up": services.states}, "\n".join(message))
