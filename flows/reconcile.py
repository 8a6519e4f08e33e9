"""The sweep: what events started at once, this finds from the state, minutes later and surely."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from prefect import flow, get_client
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.states import Crashed

from configs.load import ConfigError, load, names
from flows.names import deployment_of, pipeline_tag
from tasks.errors import PerennialError
from tasks.lifecycle.due import Due, due
from tasks.progress import say
from tasks.records.base import Record
from tasks.stores.locks.flow_runs import process_ended, remove_ended
from tasks.stores.settings import Settings, load_settings, prepare
from tasks.stores.state.outbox import Outbox

_UNFINISHED = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
_SOON = timedelta(seconds=60)
_KEPT = timedelta(days=7)
_TRIES = 3
_PAGE = 200


class SweepReport(Record):
    """What one sweep did.

    Attributes:
        events: Events sent that had waited.
        crashed: Names of the runs whose process was gone.
        started: Runs started, each with its reason.
        held: What is due and was not started, each with its reason.
    """

    events: int
    crashed: tuple[str, ...]
    started: tuple[str, ...]
    held: tuple[str, ...]


@flow(name="reconcile", flow_run_name="sweep")
def reconcile() -> SweepReport:
    """Send what waits in the outbox, mark runs whose process is gone, start the work that the state shows is due."""
    settings = load_settings()
    prepare(settings)
    outbox = Outbox(settings)
    sent = outbox.send()
    outbox.prune(older_than=_KEPT, now=datetime.now(UTC))
    with get_client(sync_client=True) as client:
        crashed = mark_gone(client, settings)
        started, held = _start_due(client, settings)
    report = SweepReport(events=sent.confirmed, crashed=tuple(crashed), started=tuple(started), held=tuple(held))
    for line in _lines(report):
        say(line)
    if any((sent.confirmed, crashed, started, held)):
        page = "\n".join(["# Sweep", "", *(f"- {line}" for line in _lines(report))])
        create_markdown_artifact(page, key="sweep", description=f"{len(started)} runs started")
    return report


def mark_gone(client: SyncPrefectClient, settings: Settings) -> list[str]:
    """Mark unfinished runs of this machine whose process has ended as Crashed, which frees what they held; names."""
    unfinished = _runs(client, FlowRunFilter(state=_of_types(_UNFINISHED)))
    lost = [one for one in unfinished if process_ended(settings, str(one.id))]
    crashed = []
    for one in lost:
        now = client.read_flow_run(one.id).state  # it may have come to its end since, and then its process to its own
        if now is not None and now.type in _UNFINISHED:
            client.set_flow_run_state(one.id, Crashed(message="Its process is gone."), force=True)
            crashed.append(one.name)
    remove_ended(settings, {str(one.id) for one in unfinished} - {str(one.id) for one in lost})
    return crashed


def _start_due(client: SyncPrefectClient, settings: Settings) -> tuple[list[str], list[str]]:
    started, held = [], []
    alive = _alive(client)
    for name in names():
        try:
            config = load(name)
            for work in due(config, settings) if config.enabled else ():
                text = f"{work.flow} of {work.pipeline}: {work.reason}"
                against = "a run is under way" if (work.flow, name) in alive else _tried(client, work)
                if against:
                    held.append(f"{text}; not started: {against}")
                else:
                    run_deployment(
                        deployment_of(work.flow, work.pipeline),
                        parameters={"pipeline": work.pipeline, **work.parameters},
                        tags=["sweep", pipeline_tag(work.pipeline), _tag(work)],
                        timeout=0,
                        as_subflow=False,
                    )
                    started.append(text)
        except (ConfigError, PerennialError) as error:  # one pipeline's mistake is not the others'
            held.append(f"{name}: {error}")
        except ObjectNotFound:
            held.append(f"{name}: it has no deployment; `perennial deployments add {name}` writes it")
        except Exception as error:  # reported here and in the log; the other pipelines are swept all the same
            get_run_logger().exception("%s could not be looked at", name)
            held.append(f"{name}: {type(error).__name__}: {error}")
    return started, held


def _alive(client: SyncPrefectClient) -> set[tuple[str, str]]:
    """Flow and pipeline of the runs of deployments that work, wait, or begin soon."""
    soon = FlowRunFilterNextScheduledStartTime(before_=datetime.now(UTC) + _SOON)
    waiting = FlowRunFilter(state=_of_types([StateType.SCHEDULED]), next_scheduled_start_time=soon)
    runs = [*_runs(client, FlowRunFilter(state=_of_types(_UNFINISHED))), *_runs(client, waiting)]
    flows = {flow_id: client.read_flow(flow_id).name for flow_id in {run.flow_id for run in runs}}
    return {(flows[run.flow_id], str(run.parameters.get("pipeline"))) for run in runs if run.deployment_id}


def _tried(client: SyncPrefectClient, work: Due) -> str:
    """Why work must not be started again; nothing if it may."""
    recent = FlowRunFilterExpectedStartTime(after_=datetime.now(UTC) - timedelta(hours=1))
    tries = FlowRunFilter(tags=FlowRunFilterTags(all_=[_tag(work)]), expected_start_time=recent)
    tried = client.read_flow_runs(flow_run_filter=tries, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=_TRIES)
    if len(tried) >= _TRIES:
        return f"{len(tried)} runs in the last hour did not resolve it; see run {tried[0].name!r}"
    return ""


def _tag(work: Due) -> str:
    return f"state:{work.flow}-{work.pipeline}-{work.state[:16]}"


def _of_types(types: list[StateType]) -> FlowRunFilterState:
    return FlowRunFilterState(type=FlowRunFilterStateType(any_=types))


def _runs(client: SyncPrefectClient, wanted: FlowRunFilter) -> list[FlowRun]:
    found: list[FlowRun] = []
    while page := client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE, offset=len(found)):
        found += page
    return found


def _lines(report: SweepReport) -> list[str]:
    lines = [f"{report.events} events sent that had waited"] if report.events else []
    lines += [f"run {name} crashed: its process is gone" for name in report.crashed]
    lines += [f"started {text}" for text in report.started]
    return lines + list(report.held)
