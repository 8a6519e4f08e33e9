"""prefect.yaml: what ships is right, and each mistake is reported with its line before anything is deployed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.load import names
from flows.names import SHARED
from perennial.ops.deployments.apply import apply
from perennial.ops.deployments.check import FILE, MistakeError, _deployed_file, add, mistakes
from perennial.ops.deployments.lifecycle_lines import lines, nightly
from perennial.ops.deployments.rules import mistakes as content_mistakes
from tasks.errors import UsageError
from tasks.records.stages import StartFrom
from tests.support.command import Cli
from tests.support.world import ROOT, World, make_world

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

TEXT = FILE.read_text(encoding="utf-8")
HEAD = TEXT.partition("  # Each pipeline\n")[0]  # definitions, and what all pipelines share
SHARED_FLOWS = (
    *("approve", "backfill", "deploy", "ingest", "monitor", "reproduce", "rollback", "rollout", "score", "train"),
    "upkeep",
)
BIKE = '{prefect.resource.id: perennial.pipeline.bike_demand, perennial.followed: "no"}'


# ------------------------------------------------------------------------------------------------ what ships
def test_the_shipped_file_has_no_mistakes() -> None:
    assert mistakes() == []


def test_every_shipped_pipeline_has_one_deployment_and_all_share_the_others() -> None:
    deployments = yaml.safe_load(TEXT)["deployments"]
    found = [(one["entrypoint"].split(".")[1], one["name"]) for one in deployments]
    shared = {(flow, SHARED) for flow in SHARED_FLOWS}
    assert len(found) == len(set(found))
    assert set(found) == {("lifecycle", name) for name in names()} | shared | {("reconcile", "all")}
    assert f"{HEAD}  # Each pipeline\n{''.join(map(lines, names()))}" == TEXT
    for one in deployments:
        for trigger in one.get("triggers", []):
            own = one["name"] if one["name"] != SHARED else "*"
            match = {"prefect.resource.id": f"perennial.pipeline.{own}", "perennial.followed": "no"}
            assert trigger["match"] == match


def test_the_command_says_that_there_are_none(cli: Cli) -> None:
    assert (cli("deployments", "check").code, cli("deployments", "check").out) == (0, "prefect.yaml: no mistakes\n")


# ------------------------------------------------------------------------------------------------ one mistake at a time
def broken(folder: Path, old: str, new: str) -> Path:
    """A copy of the shipped file with the first `old` replaced."""
    assert old in TEXT
    copy = folder / "prefect.yaml"
    copy.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    return copy


def line(path: Path, text: str) -> int:
    """The first line that has a text."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(number for number, one in enumerate(lines, start=1) if text in one)


BREAKS = {
    "a trigger's key": ("expect: [perennial.batch.l", "expcet: [perennial.batch.l", "expcet", "'expect'"),
    "a deployment's key": ("    concurrency_limit: {", "    concurency_limit: {", "concurency_limit", "'concurr"),
    "a work pool's key": ("work_pool: {name: p", "work_pool: {nam: p", "work_pool.nam:", "'name'"),
    "a limit's key": ("{limit: 1,", "{limt: 1,", "concurrency_limit.limt", "'limit'"),
    "a schedule's key": ("timezone: UTC", "timezon: UTC", "schedules[0].timezon", "'timezone'"),
    "the file's key": ("pull: []", "pul: []", "pul:", "'pull'"),
    "a strategy": ("strategy: CANCEL_NEW", "strategy: CANCEL_NWE", "CANCEL_NWE", "'CANCEL_NEW'", "ENQUEUE"),
    "a limit": ("{limit: 1,", "{limit: two,", "concurrency_limit.limit", "'two'", "integer"),
    "a cron line": ('cron: "49 4 * * *"', 'cron: "49 4 * *"', "schedules[0]", "49 4 * *"),
    "a time zone": ("timezone: UTC", "timezone: UCT/Nowhere", "schedules[0]", "UCT/Nowhere"),
    "two schedules in one": ("{interval: 120}", '{interval: 120, cron: "* * * * *"}', "schedules[0]", "exactly one"),
    "schedules as a mapping": ("schedules: [{interval: 120}]", "schedules: {interval: 120}", "schedules", "a list"),
    "no match": (f"{{<<: *changed, match: {BIKE}}}", "{<<: *changed}", "triggers[0]", "has no match"),
    "no expect": ("expect: [perennial.batch.landed], w", "w", "triggers[0]", "has no expect"),
    "an event": ("expect: [perennial.batch.landed]", "expect: [perennial.batch.landd]", "'perennial.batch.landed'"),
    "an event's first word": ("[perennial.batch.landed]", "[perenial.batch.landed]", "'perennial.batch.landed'"),
    "a pipeline": ("{pipeline: bike_demand}", "{pipeline: bike_demnd}", "parameters.pipeline", "'bike_demand'"),
    "a pipeline in a match": (BIKE, BIKE.replace("bike_demand,", "bike_demnd,"), "match", "'bike_demand'"),
    "a resource": (BIKE, BIKE.replace(": perennial.p", ": perenial.p"), "match", "perennial.pipeline.NAME"),
    "a label": (BIKE, BIKE.replace("followed", "folowed"), "match.perennial.folowed", "'perennial.followed'"),
    "a label's value": (BIKE, BIKE.replace('"no"', "no"), "match.perennial.followed", "False", "string"),
    "a trigger's parameter": ("{start_from: decision}", "{start_form: decision}", "start_form", "'start_from'"),
    "a value of a few": ("{start_from: decision}", "{start_from: decison}", "start_from", "'decison'", "'decision'"),
    "a value's type": ("{pipeline: bike_demand}", "{pipeline: bike_demand, now: soon}", "parameters.now", "'soon'"),
    "an unknown parameter": ("{pipeline: bike_demand}", "{pipelin: bike_demand}", "parameters.pipelin", "'pipeline'"),
    "a module": ("entrypoint: flows.ingest.ingest", "entrypoint: flows.ingst.ingest", "entrypoint", "flows.ingst"),
    "no flow": ("entrypoint: flows.ingest.ingest", "entrypoint: flows.ingest.told", "entrypoint", "names no flow"),
    "no pool": ("work_pool: {name: perennial}", "work_pool: {}", "has no work_pool"),
    "a name twice": ("    name: breast_cancer", "    name: bike_demand  # too", "'bike_demand'", "stands twice"),
    "a key twice": ("    name: bike_demand\n", "    name: bike_demand\n    name: bikes\n", "name: stands twice"),
    "a trigger's type": ("{<<: *changed, match", "{<<: *changed, type: metric, match", "type", "'metric'"),
    "a trigger that is none": (f"[{{<<: *changed, match: {BIKE}}}]", "[5]", "triggers[0]", "5", "dictionary"),
    "a flow's needs": ("    parameters: {pipeline: bike_demand}\n", "", "needs pipeline"),
}  # fmt: skip
# Where the mistake is reported, if not in the first line that has what was put there.
PLACES = {
    "no expect": "triggers: [{<<: *any, w",
    "a key twice": "name: bikes",
    "no pool": "- <<: *deployment",
    "a flow's needs": "- <<: *lifecycle",
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_mistake_is_told_with_its_line_and_what_was_meant(name: str, tmp_path: Path) -> None:
    old, new, *words = BREAKS[name]
    path = broken(tmp_path, old, new)
    place = f"{path}:{line(path, PLACES.get(name, new))}: "
    found = mistakes(path)
    assert any(one.startswith(place) and all(word in one for word in words) for one in found), found


def test_what_an_anchor_says_wrongly_is_told_once_where_it_stands(tmp_path: Path) -> None:
    path = broken(tmp_path, "    description: Ingest, score,", "    descripton: Ingest, score,")
    told = "Prefect knows no such key and would pass over it; did you mean 'description'?"
    assert mistakes(path) == [f"{path}:{line(path, 'descripton')}: deployments[12].descripton: {told}"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("deployments: [}\n", ":1: not YAML: "),
        ("a: 1\nb: *nowhere\n", ":2: not YAML: found undefined alias"),
        ("a: \x07\n", ":1: not YAML: "),
        ("- name: all\n", ":1: found no mapping"),
        ("", ":1: found no mapping"),
        ("name: x\n", ":1: deployments: found None; expected a list of deployments"),
        ("name: x\ndeployments: {name: x}\n", ":2: deployments: found {'name': 'x'}; expected a list"),
        ("deployments:\n  - 5\n", ":2: deployments[0]: found 5; expected a mapping"),
    ],
)
def test_a_file_of_another_shape_is_told(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "prefect.yaml"
    path.write_text(text, encoding="utf-8")
    assert any(one.startswith(f"{path}{told}") for one in mistakes(path)), mistakes(path)


def test_a_file_that_is_not_there_or_not_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "prefect.yaml"
    assert mistakes(path) == [f"{path}:1: can't be read: No such file or directory"]
    path.write_bytes(b"name: \xff\n")
    assert mistakes(path)[0].startswith(f"{path}:1: not YAML: ")


def test_templates_wildcards_and_nested_triggers_are_fine(tmp_path: Path) -> None:
    nested = """{type: compound, require: all, within: 60, triggers: [
      {expect: [perennial.model.*], match: {prefect.resource.id: perennial.pipeline.*}},
      {expect: [prefect.flow-run.Completed], match: {prefect.resource.id: prefect.flow-run.*}}],
      parameters: {now: "{{ event.occurred }}"}}"""
    assert mistakes(broken(tmp_path, f"{{<<: *changed, match: {BIKE}}}", nested)) == []
    path = broken(tmp_path, f"{{<<: *changed, match: {BIKE}}}", nested.replace("{expect: [pre", "{expct: [pre"))
    assert f"{path}:{line(path, 'expct')}: " in mistakes(path)[0]


def keys(node: yaml.Node, seen: set[int]) -> Iterator[yaml.ScalarNode]:
    """Every key that Prefect or a flow reads."""
    if isinstance(node, yaml.MappingNode) and id(node) not in seen:
        seen.add(id(node))
        for key, value in node.value:
            if key.value != "<<":
                yield key
            yield from keys(value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for one in node.value:
            yield from keys(one, seen)


NODE = yaml.compose(TEXT, yaml.SafeLoader)
assert NODE is not None
# Names of anchors' holders are free, and steps are Prefect's to import.
READ = [
    key
    for key in keys(NODE, set())
    if not (key.start_mark.column == 2 and key.start_mark.line < HEAD.count("\n")) and "refuse" not in key.value
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from(READ), at=st.integers(0, 30), letter=st.sampled_from("xz_"))
def test_no_misspelt_key_goes_unseen(key: yaml.ScalarNode, at: int, letter: str, tmp_path: Path) -> None:
    where = key.start_mark.index + at % (len(key.value) + 1)
    path = tmp_path / "prefect.yaml"
    path.write_text(TEXT[:where] + letter + TEXT[where:], encoding="utf-8")
    place = f"{path}:{key.start_mark.line + 1}: "
    assert any(one.startswith(place) for one in mistakes(path)), (key.value, mistakes(path))


def paths(data: object, where: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inside:
        yield (*where, key)
        yield from paths(value, (*where, key))


DATA = yaml.safe_load(TEXT)
ODD: st.SearchStrategy[object] = st.sampled_from([None, 5, -1.5, True, "", "x", [], [[]], ["x"], {}, {"x": {}}, {1: 2}])


@settings(max_examples=60, deadline=None)
@given(where=st.sampled_from([one for one in paths(DATA) if one[0] == "deployments"][:150]), odd=ODD)
def test_whatever_stands_there_it_is_looked_at_to_the_end(where: tuple[Any, ...], odd: object) -> None:
    data = deepcopy(DATA)
    inside = data
    for step in where[:-1]:
        inside = inside[step]
    inside[where[-1]] = odd
    for place, told in content_mistakes(data):
        assert isinstance(place, tuple)
        assert told


# ------------------------------------------------------------------------------------------------ a further pipeline
@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A deployment file without pipelines."""
    path = tmp_path / "prefect.yaml"
    path.write_text(HEAD, encoding="utf-8")
    return path


def test_added_lines_are_right_and_like_those_that_ship(world: World, file: Path) -> None:
    world.pipeline("bike_demand")
    file.chmod(0o640)
    assert add("bike_demand", file)
    assert mistakes(file) == []
    assert file.read_text(encoding="utf-8") == HEAD + lines("bike_demand")
    assert (file.stat().st_mode & 0o777, [one.name for one in file.parent.glob("*yaml*")]) == (0o640, ["prefect.yaml"])


def test_a_pipeline_is_added_once(world: World, file: Path) -> None:
    world.pipeline("one")
    world.pipeline("one_more")
    assert [add("one_more", file), add("one", file)] == [True, True]
    text = file.read_text(encoding="utf-8")
    assert [add("one", file), add("one_more", file)] == [False, False]
    assert file.read_text(encoding="utf-8") == text
    assert len(yaml.safe_load(text)["deployments"]) == 1 + len(SHARED_FLOWS) + 2


def test_an_unknown_pipeline_is_refused_with_what_was_meant(world: World, file: Path) -> None:
    world.pipeline("tramways")
    with pytest.raises(
        UsageError, match=r"No pipeline is named 'tramway'; there are tramways; did you mean 'tramways'"
    ):
        add("tramway", file)
    assert file.read_text(encoding="utf-8") == HEAD


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("{interval: 120}", "{intervall: 120}", "intervall"),
        ("  lifecycle: &lifecycle\n", "  lifecycle: &lifecycles\n", "do not go with the rest of the file"),
    ],
)
def test_a_file_that_would_have_mistakes_stays_as_it_is(
    old: str, new: str, told: str, world: World, file: Path
) -> None:
    world.pipeline("one")
    text = HEAD.replace(old, new)
    file.write_text(text, encoding="utf-8")
    with pytest.raises(MistakeError, match=told) as refused:
        add("one", file)
    assert f"{file}:" in str(refused.value)
    assert file.read_text(encoding="utf-8") == text
    assert [one.name for one in file.parent.glob("*yaml*")] == ["prefect.yaml"]


# ------------------------------------------------------------------------------------------------ the real thing
@pytest.mark.parametrize(
    ("words", "file"),
    [
        (["deploy", "--all"], "prefect.yaml"),
        (["deploy", "--all", "--prefect-file", "other.yaml"], "other.yaml"),
        (["deploy", "--prefect-file=/etc/other.yaml", "-n", "x"], "/etc/other.yaml"),
    ],
)
def test_the_file_that_is_looked_at_is_the_one_that_is_deployed(words: list[str], file: str) -> None:
    assert _deployed_file(words) == Path(file).absolute()


NAME = "deployed"


@pytest.fixture(scope="module")
def deployable(tmp_path_factory: pytest.TempPathFactory, server: str) -> Iterator[tuple[Path, SyncPrefectClient]]:
    """A deployment file of one pipeline, the pool that it names, and a client."""
    from prefect import get_client
    from prefect.client.schemas.actions import WorkPoolCreate

    folder = tmp_path_factory.mktemp("deploy")
    file = folder / "mine.yaml"
    file.write_text(HEAD, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch, get_client(sync_client=True) as client:
        make_world(folder / "home", folder / "configs", patch).pipeline(NAME)
        add(NAME, file)
        client.create_work_pool(WorkPoolCreate(name="perennial", type="perennial"), overwrite=True)
        yield file, client
        for one in ours(client):
            client.delete_deployment(one.id)
        client.delete_work_pool("perennial")


def ours(client: SyncPrefectClient) -> list[DeploymentResponse]:
    """The deployments of this module's pool: other tests have theirs on the same server."""
    return [one for one in client.read_deployments() if one.work_pool_name == "perennial"]


def deploy(file: Path) -> subprocess.CompletedProcess[str]:
    words = ["--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    return subprocess.run(
        [sys.executable, "-m", "prefect", *words],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


@pytest.mark.system
def test_nothing_is_deployed_from_a_file_with_a_mistake(deployable: tuple[Path, SyncPrefectClient]) -> None:
    file, client = deployable
    wrong = file.with_name("wrong.yaml")
    wrong.write_text(file.read_text(encoding="utf-8").replace("expect: [perennial.b", "expcet: [perennial.b"))
    done = deploy(wrong)
    assert done.returncode == 1, done
    assert f"{wrong}:{line(wrong, 'expcet')}: deployments[1].triggers[0].expcet: " in done.stderr
    assert "did you mean 'expect'?" in done.stderr
    assert done.stderr.endswith("Nothing was deployed.\n")
    assert "Traceback" not in done.stdout + done.stderr
    assert ours(client) == []


@pytest.mark.system
def test_a_right_file_is_deployed_with_all_that_it_says(deployable: tuple[Path, SyncPrefectClient]) -> None:
    file, client = deployable
    done = deploy(file)
    assert done.returncode == 0, done
    flows = {one.id: one.name for one in client.read_flows()}
    found = {f"{flows[one.flow_id]}/{one.name}": one for one in ours(client)}
    assert set(found) == {f"{flow}/{SHARED}" for flow in SHARED_FLOWS} | {"reconcile/all", f"lifecycle/{NAME}"}

    assert all(one.work_pool_name == "perennial" and not one.paused for one in found.values())
    schedules: dict[str, list[Any]] = {
        name: [(one.schedule, one.active) for one in each.schedules] for name, each in found.items()
    }
    assert {name for name, each in schedules.items() if each} == {"reconcile/all", f"lifecycle/{NAME}"}
    (sweep, active), (daily, also) = schedules["reconcile/all"][0], schedules[f"lifecycle/{NAME}"][0]
    assert (sweep.interval, daily.cron, active, also) == (timedelta(seconds=120), nightly(NAME), True, True)
    limits = {
        name: (one.global_concurrency_limit.limit, one.concurrency_options.collision_strategy.value)
        for name, one in found.items()
        if one.global_concurrency_limit and one.concurrency_options
    }
    assert limits == {"reconcile/all": (1, "CANCEL_NEW")}
    schema = found[f"lifecycle/{NAME}"].parameter_openapi_schema
    assert schema is not None
    assert schema["properties"]["start_from"]["enum"] == [*get_args(StartFrom)]

    fired = {}
    for name, one in found.items():
        for automation in client.read_resource_related_automations(f"prefect.deployment.{one.id}"):
            trigger: Any = automation.trigger
            action: Any = automation.actions[0]
            own = NAME if name.startswith("lifecycle") else "*"
            match = {"prefect.resource.id": f"perennial.pipeline.{own}", "perennial.followed": "no"}
            assert (trigger.match.root, trigger.threshold, automation.enabled) == (match, 1, True)
            assert trigger.for_each == (set() if own == NAME else {"prefect.resource.id"})
            flow = name.partition("/")[0]
            fired[flow] = (trigger.expect, trigger.within, action.parameters, action.deployment_id == one.id)
    second, resource = timedelta(seconds=1), {"pipeline": "{{ event.resource['prefect.resource.name'] }}"}
    changed = {"perennial.dataset.updated", "perennial.drift.detected", "perennial.performance.degraded"}
    assert fired == {
        "ingest": ({"perennial.batch.landed"}, second, resource, True),
        "lifecycle": (changed, second, {"start_from": "decision"}, True),
        "deploy": ({"perennial.model.registered", "perennial.approval.answered"}, timedelta(0), resource, True),
        "rollout": ({"perennial.rollout.started"}, timedelta(0), resource, True),
    }


# ------------------------------------------------------------------------------------------------ what `up` sends
@pytest.mark.system
def test_only_what_changed_is_sent_and_what_prefect_deploy_sends(deployable: tuple[Path, SyncPrefectClient]) -> None:
    file, client = deployable
    before = {one.id: sent(client, one) for one in ours(client)}
    marks = file.with_name("marks.json")
    first = apply(file, marks)
    assert (len(first.sent), first.unchanged, first.deleted) == (len(SHARED_FLOWS) + 2, 0, ())
    assert {one.id: sent(client, one) for one in ours(client)} == before, "as `prefect deploy --all` sent them"
    assert apply(file, marks) == ((), len(SHARED_FLOWS) + 2, ())

    text = file.read_text(encoding="utf-8")
    other = text.replace(nightly(NAME), "1 2 * * *")
    file.write_text(other, encoding="utf-8")
    assert apply(file, marks).sent == (f"lifecycle/{NAME}",)
    file.write_text(text.replace(lines(NAME), ""), encoding="utf-8")
    assert apply(file, marks) == ((), len(SHARED_FLOWS) + 1, (f"lifecycle/{NAME}",))
    assert f"lifecycle/{NAME}" not in json.loads(marks.read_text(encoding="utf-8"))
    file.write_text(text, encoding="utf-8")


def test_automations_of_others_are_not_touched(deployable: tuple[Path, SyncPrefectClient]) -> None:
    from prefect.events.actions import DoNothing
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

    file, client = deployable
    trigger = EventTrigger(expect={"perennial.batch.landed"}, posture=Posture.Reactive, threshold=1)
    client.create_automation(AutomationCore(name="somebody's", trigger=trigger, actions=[DoNothing()]))
    apply(file, file.with_name("anew.json"))
    [kept] = client.read_automations_by_name("somebody's")
    client.delete_automation(kept.id)


def test_nothing_is_sent_from_a_file_with_a_mistake(tmp_path: Path) -> None:
    wrong = broken(tmp_path, "expect: [perennial.b", "expcet: [perennial.b")
    with pytest.raises(MistakeError, match="did you mean 'expect'"):
        apply(wrong, tmp_path / "marks.json")
    assert not (tmp_path / "marks.json").exists()


def sent(client: SyncPrefectClient, one: DeploymentResponse) -> dict[str, Any]:
    """What a server has of a deployment, but for times and the ids of its automations."""
    known = {"name", "entrypoint", "parameters", "description", "tags", "work_pool_name", "parameter_openapi_schema"}
    found = one.model_dump(mode="json", include=known | {"enforce_parameter_schema", "pull_steps", "path"})
    found["limit"] = one.global_concurrency_limit and one.global_concurrency_limit.limit
    found["schedules"] = [each.schedule.model_dump(mode="json", exclude={"anchor_date"}) for each in one.schedules]
    related = client.read_resource_related_automations(f"prefect.deployment.{one.id}")
    found["triggers"] = [
        (
            each.trigger.model_dump(mode="json", exclude={"id"}),
            [action.model_dump(mode="json") for action in each.actions],
        )
        for each in related
    ]
    return found
