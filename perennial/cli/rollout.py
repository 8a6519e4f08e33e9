"""The commands `perennial rollout`, which watches a rollout, and `perennial rollback`, which rolls a version back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from pydantic import JsonValue

from perennial.cli.render import ConsoleReporter, console, print_result
from tasks.stores.settings import Settings
from tasks.stores.state.outbox import EventName, Outbox

Name = Annotated[str, typer.Argument(help="The pipeline's name: a YAML in configs/.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def rollout(
    name: Name,
    once: Annotated[bool, typer.Option("--once", help="Look once, and leave the rest to the next run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Watch the version that is rolled out until it is champion or moved back."""
    from flows.context import open_pipeline
    from tasks.progress import reporting
    from tasks.stores.state import rollouts
    from tasks.stores.state.audit import Audit

    _, settings = open_pipeline(name)
    if rollouts.active(Audit(settings), name) is None:
        value: dict[str, Any] = {"pipeline": name, "outcome": "nothing_to_do", "version": None, "reasons": []}
        print_result(as_json, value, f"{name}: no version is rolled out")
        return
    with reporting(ConsoleReporter(console())):
        report = _watch(name, settings, once)
    lines = [f"{name}: {report.text}", *(f"  {reason}" for reason in report.reasons)]
    print_result(as_json, report.model_dump(mode="json"), "\n".join(lines))


def _watch(name: str, settings: Settings, once: bool) -> Any:
    from perennial.ops.session import prefect_session

    with prefect_session(settings, "flows.rollout"):
        from flows.rollout import rollout as flow

        return flow(name, once)


def rollback(
    name: Name,
    to: Annotated[
        int | None,
        typer.Option("--to", min=1, help="The version that is to be champion; left out, the latest earlier good one."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for whoever asks later.")] = "",
    as_json: AsJson = False,
) -> None:
    """Roll back the version that is rolled out; if there is none, the champion, for the latest earlier good one."""
    from flows.context import open_pipeline
    from tasks.release.rollback_request import request_rollback, summary
    from tasks.stores.state.tokens import person

    config, settings = open_pipeline(name)

    def tell(event: EventName, payload: Mapping[str, JsonValue]) -> None:
        Outbox(settings).put(event, name, payload)

    back = request_rollback(config, settings, to, reason, person(settings), tell)
    print_result(as_json, back.model_dump(mode="json"), f"{summary(back)}\n  {_tell(settings)}")


def _tell(settings: Settings) -> str:
    """Tell Prefect, if it is there, in words."""
    from perennial.ops.running import running

    here = None if os.environ.get("PREFECT_API_URL") else running(settings)
    sent = Outbox(settings).send(here.api if here else None)
    return f"its event is kept and sent later ({sent.problem})" if sent.problem else "Prefect is notified"
