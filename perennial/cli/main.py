"""The command line: each command is a thin call of a flow or a read of the stores."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from configs.schema import PipelineConfig
from perennial.cli.approvals import approve, reject, token
from perennial.cli.data import data
from perennial.cli.docs import docs
from perennial.cli.history import history
from perennial.cli.lineage import lineage
from perennial.cli.plan import plan
from perennial.cli.quarantine import quarantine
from perennial.cli.render import ConsoleReporter, console, summary
from perennial.cli.render import print_result as _print
from perennial.cli.reproduce import reproduce
from perennial.cli.rollout import rollback, rollout
from perennial.cli.score import score
from perennial.cli.serve import serve
from perennial.cli.status import status
from perennial.cli.system import COMMANDS, deployments
from perennial.cli.upkeep import upkeep
from perennial.reporting.run_json import run_json
from tasks.errors import DataRejectedError, PerennialError
from tasks.progress import reporting
from tasks.records.data import IngestReport
from tasks.records.decision import MonitorReport
from tasks.records.report import LifecycleReport
from tasks.records.stages import TRAINING_STAGES, StageName, StartFrom, TrainingStage
from tasks.stores.settings import Settings

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Perennial keeps tabular models fresh. Exit codes: 0 done, 1 failed, 2 wrong use or config, 3 data rejected.",
)
Name = Annotated[str, typer.Argument(help="The pipeline's name: a YAML in configs/.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Now = Annotated[
    datetime | None,
    typer.Option(
        "--now", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"], help="The run's clock (UTC)."
    ),
]


class Forced(Enum):
    """Stages that can be made to run; Typer takes a list of an enum's values only."""

    FEATURES = "features"
    TRAINING = "training"
    EVALUATION = "evaluation"


@app.command()
def run(
    name: Name,
    start_from: Annotated[
        StartFrom,
        typer.Option("--from", help="The first stage; the newest results of those before it are used as they are."),
    ] = "ingestion",
    until: Annotated[StageName, typer.Option("--until", help="The last stage.")] = "release",
    force: Annotated[
        list[Forced] | None, typer.Option("--force", help="Run a stage though nothing changed; may be repeated.")
    ] = None,
    as_json: AsJson = False,
    now: Now = None,
) -> None:
    """Ingest what landed; train, evaluate and promote if a model is due. Stages on which nothing changed are reused."""
    from flows.context import open_pipeline
    from tasks.lifecycle.due import is_idle

    config, settings = open_pipeline(name)
    reporter = ConsoleReporter(console())
    whole = start_from == "ingestion" and until == "release" and not force
    with reporting(reporter):
        if whole and is_idle(config, settings, now):
            report = _nothing(config, settings, now)
        else:
            from perennial.ops.session import prefect_session

            reporter.say("starting Prefect")
            with prefect_session(settings, "flows.lifecycle"):
                report, code = _lifecycle(
                    name,
                    now,
                    start_from,
                    until,
                    tuple(one for one in TRAINING_STAGES if one in {each.value for each in force or ()}),
                )
                _print(as_json, run_json(report), summary(report))
                raise typer.Exit(code)
    _print(as_json, run_json(report), summary(report))


def _lifecycle(
    name: str, now: datetime | None, start_from: StartFrom, until: StageName, force: tuple[TrainingStage, ...]
) -> tuple[LifecycleReport, int]:
    """The report of a run, of one that failed as far as it came, and the exit code."""
    from flows.lifecycle import lifecycle
    from tasks.lifecycle.execute import LifecycleError

    try:
        report = lifecycle(name, now, start_from, until=until, force=force)
    except LifecycleError as error:
        if not isinstance(error.__cause__, PerennialError):
            traceback.print_exception(error.__cause__)  # not a known mistake: whoever looks into it needs this
        sys.stderr.write(f"perennial: {error}\n")
        return error.report, error.exit_code
    return report, DataRejectedError.exit_code if report.outcome == "data_rejected" else 0


def _nothing(config: PipelineConfig, settings: Settings, now: datetime | None) -> LifecycleReport:
    """The report of a run that has nothing to do, or nothing but to wait for a person or the end of a rollout."""
    from tasks.stores.runtime import clock
    from tasks.stores.state import rollouts
    from tasks.stores.state.approvals import Approvals
    from tasks.stores.state.audit import Audit

    name = config.name
    pending, shown = Approvals(settings).pending(name, clock(now)), rollouts.active(Audit(settings), name)
    message = [shown.status] if shown else []
    message += [request.pending_message() for request in pending]
    waits = shown or (pending[-1] if pending else None)
    return LifecycleReport(
        pipeline=name,
        outcome="rolling_out" if shown else "awaiting_approval" if pending else "nothing_to_do",
        reasons=tuple(message) or (_nothing_reason(config, settings),),
        version=waits.version if waits else None,
        champion=Audit(settings).champion(name),
        ingest=IngestReport(pipeline=name),
    )


def _nothing_reason(config: PipelineConfig, settings: Settings) -> str:
    from tasks.stores.lake.tables import Lake

    if not Lake(settings, config).ledger():
        return f"nothing has landed in {settings.landing(config.source.landing)} yet"
    return "nothing landed and nothing changed since the last run"


@app.command()
def report(
    name: Name,
    version: Annotated[int | None, typer.Option(help="A registered version; left out, the newest candidate.")] = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Markdown, for a pull request.")] = False,
    plots: Annotated[Path | None, typer.Option(help="Draw plots into this folder, and link them.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a candidate: its metrics beside the champion's and the baseline's, gates, outcome and data."""
    if as_markdown and as_json:
        raise typer.BadParameter("--markdown and --json exclude each other")
    from flows.context import open_pipeline
    from perennial.reporting import candidate_page
    from perennial.reporting import plots as drawing
    from perennial.reporting.candidate import read

    one = read(*open_pipeline(name), version)
    if plots is not None:
        one = one.model_copy(update={"links": (*one.links, *drawing.draw(one, plots))})
    message = candidate_page.markdown(one) if as_markdown else candidate_page.text(one)
    _print(as_json, one.model_dump(mode="json"), message.rstrip("\n"))


@app.command()
def monitor(name: Name, as_json: AsJson = False, now: Now = None) -> None:
    """Compare the newest batches with the champion's training data, and its predictions against labels."""

    def call() -> Any:
        from flows.monitor import monitor as flow

        return flow(name, now)

    found: MonitorReport = _with_prefect(name, call)
    drift, performance = found.drift, found.performance
    lines = [f"{name}: drift {drift.state}", *(f"  {reason}" for reason in drift.reasons)]
    lines += [f"{name}: performance {performance.state}", *(f"  {reason}" for reason in performance.reasons)]
    value = {**drift.model_dump(mode="json"), "performance": performance.model_dump(mode="json")}
    _print(as_json, {"pipeline": name, **value}, "\n".join(lines))


for _command in (
    score,
    plan,
    status,
    history,
    lineage,
    reproduce,
    data,
    docs,
    upkeep,
    serve,
    approve,
    reject,
    rollout,
    rollback,
    token,
    *COMMANDS,
):
    app.command()(_command)
app.add_typer(deployments, name="deployments")
app.add_typer(quarantine, name="quarantine")


@app.command()
def demo() -> None:
    """Watch a model live on a simulated city: ingest, train, evaluate, promote, score, drift, retrain."""
    from perennial.cli.demo import play

    play()


def _with_prefect(name: str, call: Callable[[], Any]) -> Any:
    from flows.context import open_pipeline
    from perennial.ops.session import prefect_session

    _, settings = open_pipeline(name)
    with reporting(ConsoleReporter(console())), prefect_session(settings, "flows.monitor"):
        return call()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `perennial`. Known errors are reported in a line, on standard error."""
    # A command imports some ten thousand modules' objects and keeps them: looking through them again and again for
    # garbage costs a second and more, and once more at the end.
    gc.set_threshold(50_000, 20, 100)
    try:
        app(list(arguments) if arguments is not None else None, standalone_mode=True)
    except PerennialError as error:
        sys.stderr.write(f"perennial: {error}\n")
        sys.exit(error.exit_code)
    finally:
        gc.freeze()
    return 0


if __name__ == "__main__":
    main()
