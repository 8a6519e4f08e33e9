"""The sweep against a real server: what the state asks for is started, once; what a dead process left is marked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from flows.names import deployment_of
from tasks.stores.locks.flow_runs import process_ended, register_process
from tasks.stores.settings import Settings, prepare
from tasks.stores.state.outbox import Outbox
from tests.support.world import ROOT, World, trips

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

    from flows.reconcile import SweepReport

Deployed = Callable[[str], dict[UUID, str]]


@pytest.fixture
def client(server: str) -> Iterator[SyncPrefectClient]:
    from prefect import get_client

    with get_client(sync_client=True) as one:
        yield one


@pytest.fixture
def deployed(client: SyncPrefectClient) -> Iterator[Deployed]:
    """Makes deployments of the flows that a sweep starts for a pipeline; no worker runs them. Their names by id."""
    made: set[UUID] = set()

    def deploy(pipeline: str) -> dict[UUID, str]:
        own = {}
        for flow in ("ingest", "lifecycle", "deploy"):
            name = deployment_of(flow, pipeline).partition("/")[2]
            own[client.create_deployment(client.create_flow_from_name(flow), name)] = flow
        made.update(own)
        return own

    yield deploy
    for one in made:
        client.delete_deployment(one)


def sweep() -> SweepReport:
    from flows.reconcile import reconcile

    return reconcile()


def runs(client: SyncPrefectClient, deployments: dict[UUID, str], pipeline: str) -> list[FlowRun]:
    """A pipeline's runs of deployments, the last made last."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId

    wanted = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=list(deployments)))
    found = [one for one in client.read_flow_runs(flow_run_filter=wanted) if one.parameters["pipeline"] == pipeline]
    return sorted(found, key=lambda one: str(one.created))


def end(client: SyncPrefectClient, found: list[FlowRun], kind: str = "FAILED") -> None:
    from prefect.client.schemas.objects import State, StateType

    for one in found:
        state: State[Any] = State(type=StateType(kind))
        client.set_flow_run_state(one.id, state, force=True)


# ------------------------------------------------------------------------------------------------ what is due
def test_each_state_starts_its_flow_and_a_settled_one_nothing(
    world: World, client: SyncPrefectClient, deployed: Deployed
) -> None:
    from flows.ingest import ingest
    from flows.train import train

    world.pipeline("story")
    deployments = deployed("story")
    assert sweep().model_dump() == {"events": 0, "crashed": (), "started": (), "held": ()}

    world.land("story", "first.csv", trips(0, 200, seed=1))
    assert sweep().started == ("ingest of story: 1 file landed",)
    end(client, runs(client, deployments, "story"))

    ingest("story")
    assert sweep().started == ("lifecycle of story: data, configuration, code or age changed since the last decision",)
    run = runs(client, deployments, "story")[-1]
    assert (deployments[run.deployment_id or UUID(int=0)], run.parameters) == (
        "lifecycle",
        {"pipeline": "story", "start_from": "decision"},
    )
    end(client, [run])

    train("story")
    world.pipeline("story", {"description": "Another one."})  # so that it is another state, and no second try
    started = sweep().started
    assert [one.partition(":")[0] for one in started] == ["deploy of story", "lifecycle of story"]
    end(client, runs(client, deployments, "story"))

    world.run("story")
    assert world.alias("story") == 1
    assert sweep().model_dump() == {"events": 0, "crashed": (), "started": (), "held": ()}
    assert len(runs(client, deployments, "story")) == 4


def test_what_is_under_way_is_not_doubled_and_three_tries_an_hour_are_enough(
    world: World, client: SyncPrefectClient, deployed: Deployed
) -> None:
    world.pipeline("stuck")
    world.pipeline("same")
    deployments = deployed("stuck")
    deployed("same")
    for name in ("stuck", "same"):  # the same files: their tries are counted apart
        world.land(name, "first.csv", trips(0, 20, seed=1))
    assert sweep().started == ("ingest of same: 1 file landed", "ingest of stuck: 1 file landed")
    held = ("ingest of same: 1 file landed; not started: a run is under way",)
    told = "ingest of stuck: 1 file landed"
    for state in ("SCHEDULED", "PENDING", "RUNNING"):
        end(client, runs(client, deployments, "stuck"), state)
        assert sweep().held == (*held, f"{told}; not started: a run is under way")
    for _ in range(2):
        end(client, runs(client, deployments, "stuck"))
        assert sweep().started == (told,)
    end(client, runs(client, deployments, "stuck"))
    report = sweep()
    last = runs(client, deployments, "stuck")[-1].name
    assert report.started == ()
    assert report.held[1] == f"{told}; not started: 3 runs in the last hour did not resolve it; see run {last!r}"

    world.land("stuck", "second.csv", trips(20, 20, seed=2))
    assert sweep().started == ("ingest of stuck: 2 files landed",)
    assert len(runs(client, deployments, "stuck")) == 4


def test_one_pipelines_trouble_is_told_and_not_the_others(world: World, deployed: Deployed) -> None:
    from flows.ingest import ingest

    for name in ("alone", "corrupt", "misspelt", "well"):
        world.pipeline(name)
        world.land(name, "first.csv", trips(0, 20, seed=1))
    deployed("well")
    ingest("alone")  # a lifecycle run is due, and it has no deployment for it
    (world.configs / "misspelt.yaml").write_text("nam: misspelt\n", encoding="utf-8")
    log = world.home / "lake" / "corrupt" / "batches" / "_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("no log\n", encoding="utf-8")
    report = sweep()
    assert report.started == ("ingest of well: 1 file landed",)
    alone, corrupt, misspelt = report.held
    assert alone == "alone: it has no deployment; `perennial deployments add alone` writes it"
    assert corrupt.startswith("corrupt: ")
    assert misspelt.startswith(f"misspelt: {world.configs / 'misspelt.yaml'}:1: ")


def test_what_waits_in_the_outbox_is_sent(world: World, server: str) -> None:
    prepare(world.settings)
    outbox = Outbox(world.settings)
    for number in range(3):
        outbox.put("perennial.batch.landed", "outboxed", {"files": number})
    assert (sweep().events, outbox.waiting()) == (3, [])
    assert sweep().events == 0


# ------------------------------------------------------------------------------------------------ who is gone
REGISTER = (
    "import sys, time\n"
    "from tasks.stores.locks.flow_runs import register_process\n"
    "from tasks.stores.settings import load_settings\n"
    "for run in sys.argv[1:]:\n    register_process(load_settings(), run)\n"
    "print('registered', flush=True)\n"
    "time.sleep(600)\n"
)


def killed_after_registering(*flow_runs: UUID) -> None:
    """A process that answers for runs and is killed -9."""
    words = [sys.executable, "-c", REGISTER, *map(str, flow_runs)]
    child = subprocess.Popen(words, cwd=ROOT, env=dict(os.environ), stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "registered\n"
    child.kill()
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()


def notes(settings: Settings) -> set[str]:
    return {one.name for one in (settings.state / "runs").iterdir()}


def test_runs_of_a_dead_process_are_marked_and_no_others(world: World, client: SyncPrefectClient) -> None:
    from prefect import flow
    from prefect.states import Completed, Running

    @flow(name="doomed")
    def doomed() -> None:
        """Never run: only its runs are needed."""

    prepare(world.settings)
    dead, live, unknown, ended = (client.create_flow_run(doomed, name=name) for name in ("dead", "live", "no", "end"))
    for one in (dead, live, unknown):
        client.set_flow_run_state(one.id, Running(), force=True)
    client.set_flow_run_state(ended.id, Completed(), force=True)
    killed_after_registering(dead.id, ended.id)
    register_process(world.settings, str(live.id))
    assert notes(world.settings) == {str(one.id) for one in (dead, live, ended)}
    assert process_ended(world.settings, str(dead.id))

    assert sweep().crashed == ("dead",)

    def state(one: FlowRun) -> tuple[str, str | None]:
        now = client.read_flow_run(one.id).state
        assert now is not None
        return now.type.value, now.message

    assert state(dead) == ("CRASHED", "Its process is gone.")
    assert [state(one)[0] for one in (live, unknown, ended)] == ["RUNNING", "RUNNING", "COMPLETED"]
    assert notes(world.settings) == {str(live.id)}
    assert len(list((world.settings.state / "processes").iterdir())) == 1
    assert sweep().crashed == ()
    for one in (live, unknown):
        client.set_flow_run_state(one.id, Completed(), force=True)


def test_a_run_that_ends_while_the_sweep_looks_stays_as_it_ended(world: World, client: SyncPrefectClient) -> None:
    from prefect import flow
    from prefect.states import Completed, Running

    from flows.reconcile import mark_gone

    @flow(name="hurried")
    def hurried() -> None:
        """Never run: only its run is needed."""

    prepare(world.settings)
    run = client.create_flow_run(hurried)
    client.set_flow_run_state(run.id, Running(), force=True)
    killed_after_registering(run.id)

    class Meanwhile:
        """The client, with the run's end between the sweep's two looks."""

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def read_flow_runs(self, **wanted: Any) -> list[FlowRun]:
            found = client.read_flow_runs(**wanted)
            client.set_flow_run_state(run.id, Completed(), force=True)
            return found

    late: Any = Meanwhile()
    assert mark_gone(late, world.settings) == []
    now = client.read_flow_run(run.id).state
    assert now is not None
    assert now.is_completed()
    assert notes(world.settings) == set()
