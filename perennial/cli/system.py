"""Commands for the system as a whole: start and end it, its parts one by one, its deployments, a backfill."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated, Any, Literal

import typer

from perennial.cli.render import ConsoleReporter, console, print_result
from tasks.stores.settings import load_settings, prepare

_Port = Annotated[int | None, typer.Option(min=1, max=65535)]
_Moment = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Range of event time instead of names (UTC)."),
]

deployments = typer.Typer(
    no_args_is_help=True, help="Check prefect.yaml, add a pipeline to it, report failures to a webhook."
)


def up(prefect_port: _Port = None, mlflow_port: _Port = None, serve_port: _Port = None) -> None:
    """Start Prefect, MLflow, the prediction service, worker and sensor here, and keep them alive until Ctrl-C."""
    from perennial.ops.up import up as start

    ports = {"prefect_port": prefect_port, "mlflow_port": mlflow_port, "serve_port": serve_port}
    settings = load_settings().model_copy(update={name: port for name, port in ports.items() if port is not None})
    prepare(settings)
    start(settings, _line)


def down() -> None:
    """End the `perennial up` of this home."""
    from perennial.ops.up import down as end

    settings = load_settings()
    _line("ended" if end(settings) else f"nothing runs in {settings.root}")


def worker() -> None:
    """Run what PREFECT_API_URL's server schedules. `perennial up` has one."""
    from perennial.ops.worker import main

    main()


def watch() -> None:
    """Watch the landing folders, and send Prefect an event of what lands. `perennial up` has one."""
    from perennial.ops.sensor.main import main

    main()


@deployments.command()
def check() -> None:
    """List every error in prefect.yaml with its line."""
    from perennial.ops.deployments.check import FILE, MistakeError, mistakes

    file = load_settings().deployments or FILE
    found = mistakes(file)
    if found:
        raise MistakeError("\n".join(found))
    print_result(False, {}, f"{file.name}: no mistakes")


@deployments.command()
def add(name: Annotated[str, typer.Argument(help="The pipeline's name.", show_default=False)]) -> None:
    """Write the deployment of a pipeline at the end of prefect.yaml, and send it to a `perennial up` that runs."""
    from perennial.ops.deployments.check import FILE
    from perennial.ops.deployments.check import add as write
    from perennial.ops.running import running
    from perennial.ops.up import send_deployments

    settings = load_settings()
    file = settings.deployments or FILE
    message = f"written to {file.name}" if write(name, file) else f"is in {file.name} already"
    up = running(settings)
    sent = send_deployments(settings, up) if up is not None and up.ready else ""
    print_result(False, {}, f"{name}: {message}; {sent or '`prefect deploy --all` or `perennial up` sends it'}")


@deployments.command()
def notify() -> None:
    """Report failures, and what waits for a person, to the webhook of PERENNIAL_NOTIFY_URL. `perennial up` does so."""
    from perennial.ops.deployments.notify import ensure

    ensure(load_settings())
    print_result(False, {}, "failed runs, rejected data, drift and requests for approval are sent to the webhook")


def backfill(
    name: Annotated[str, typer.Argument(help="The pipeline's name.", show_default=False)],
    first: Annotated[str | None, typer.Option(help="Name of the first file; the numbers in names order them.")] = None,
    last: Annotated[str | None, typer.Option(help="Name of the last file, which is ingested, too.")] = None,
    start: _Moment = None,
    end: _Moment = None,
    each: Annotated[
        Literal["lifecycle", "ingest"], typer.Option(help="What is run for each step: everything, or ingest alone.")
    ] = "lifecycle",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Ingest landed files in order, a sub-run for each. Stopped or failed, the same command goes on."""
    from flows.context import open_pipeline
    from perennial.ops.session import prefect_session
    from tasks.progress import reporting

    _, settings = open_pipeline(name)
    with reporting(ConsoleReporter(console())), prefect_session(settings, "flows.backfill"):
        from flows.backfill import backfill as flow

        report: Any = flow(name, first, last, start, end, each)
    text = [f"{name}: {len(report.steps)} steps, {report.rows} rows"]
    text += [f"  {one.name}: {one.rows} rows, {one.outcome}" for one in report.steps]
    print_result(as_json, report.model_dump(mode="json"), "\n".join(text))


def _line(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


COMMANDS = (up, down, worker, watch, backfill)
