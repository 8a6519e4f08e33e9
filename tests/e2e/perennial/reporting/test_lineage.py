"""`perennial lineage` after a story of three champions: what it says is what the stores know, also when damaged."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from sqlalchemy import text as sql

from perennial.reporting.lineage import facts, graph
from perennial.reporting.lineage.page import page
from perennial.reporting.lineage.read import read
from perennial.reporting.lineage.records import Lineage
from perennial.reporting.lineage.text import text
from tasks.errors import UsageError
from tasks.stores.state.approvals import ApprovalRequest, Approvals
from tasks.stores.state.audit import Audit
from tasks.stores.state.database import connect
from tests.support.command import Cli
from tests.support.world import ROOT, World, make_world, trips

NAME = "lived"
CHANGES: dict[str, Any] = {
    "labels": {"landing": "lived_labels"},
    "retrain": {"new_rows": 150, "on_drift": False},
    "compliance": {"min_training_rows": 50},
}


def land(world: World, file: str, rows: Any, *, labels: bool = True) -> None:
    world.land(NAME, file, rows.drop(columns="y"))
    if labels:
        world.land("lived_labels", file, rows[["id", "y"]])


@pytest.fixture(scope="module")
def story(module_world: World) -> World:
    """Version 1, trained on one file; a file that it scored; version 2, once labels and one more file have come."""
    module_world.pipeline(NAME, CHANGES)
    land(module_world, "a.csv", trips(0, 300, seed=1, weak=True))
    assert module_world.flow(NAME).outcome == "promoted"
    land(module_world, "b.csv", trips(300, 100, seed=2, shift=4.0), labels=False)
    module_world.land(NAME, "bad.csv", "id,at\n1,not a time\n")
    assert module_world.flow(NAME).outcome == "kept_champion"
    module_world.land("lived_labels", "b.csv", trips(300, 100, seed=2, shift=4.0)[["id", "y"]].head(60))
    land(module_world, "c.csv", trips(400, 300, seed=3, shift=4.0))
    assert module_world.flow(NAME).outcome == "promoted"
    return module_world


def lived(world: World, what: str | None = None, now: datetime | None = None) -> Lineage:
    return read(world.config(NAME), world.settings, what, now or datetime.now(UTC))


@pytest.fixture
def copied(story: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The story in a home of its own, to be damaged."""
    shutil.copytree(story.home, tmp_path / "home", ignore=shutil.ignore_patterns("prefect", "models"))
    shutil.copytree(story.configs, tmp_path / "configs")
    with monkeypatch.context() as patch:
        yield make_world(tmp_path / "home", tmp_path / "configs", patch)


# ------------------------------------------------------------------------------------------------ what it says
def test_a_version_is_told_back_to_its_files(story: World) -> None:
    first, second = lived(story, "1"), lived(story, "2")
    assert not first.problems
    assert not second.problems
    names = [[(each.feed, each.path) for each in one.accepted] for one in (first, second)]
    assert sorted(names[0]) == [("labels", "a.csv"), ("observations", "a.csv")]
    assert sorted(names[1]) == sorted(
        (feed, f) for feed in ("labels", "observations") for f in ("a.csv", "b.csv", "c.csv")
    )
    assert [each.path for each in second.refused] == ["bad.csv"]
    assert {each.table: each.rows for each in first.tables} == {"observations": 300, "labels": 300}
    assert {each.table: each.rows for each in second.tables} == {"observations": 700, "labels": 660}
    assert [each.stage for each in first.stages] == ["ingestion", "features", "training", "evaluation", "release"]
    assert first.training is not None
    assert first.training.fingerprint == first.model.training
    assert first.newest_evaluation.outcome == "promoted"
    assert "tasks/training/fit.py" in first.code


def test_a_version_is_told_forward_to_its_predictions(story: World) -> None:
    made = lived(story, "1").predictions
    assert [(each.path, each.rows, each.labelled) for each in made.files] == [("b.csv", 100, 60), ("c.csv", 300, 300)]
    assert (made.rows, made.labelled) == (400, 360)
    assert [(each.path, each.rows) for each in made.labels] == [("b.csv", 60), ("c.csv", 300)]
    one = lived(story, "1")
    assert one.replaced_by == (2,)
    assert [each.version for each in one.rivals] == [2]
    assert {each.kind for each in one.watched} == {"drift", "performance"}
    assert lived(story, "2").predictions.rows == 0


def test_which_version_an_address_means(story: World) -> None:
    first, second = Audit(story.settings).champion_periods(NAME)
    assert lived(story).version == lived(story, "champion").version == 2
    assert lived(story, first.since.isoformat()).version == 1
    assert lived(story, (second.since - timedelta(microseconds=1)).isoformat()).version == 1
    assert lived(story, second.since.isoformat()).version == 2
    elsewhere = second.since.astimezone().isoformat()
    assert lived(story, elsewhere).version == 2


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("9", f"{NAME} has no version 9; known here: 1, 2. Ask for one of them, such as {NAME}@2."),
        ("2001-01-01", "no model was live at 2001-01-01 00:00 UTC yet: the first, version 1, became champion at"),
        ("2999-01-01T12:00+01:00", "2999-01-01 11:00 UTC is in the future"),
        ("", "found '' after the @; expected a version, such as @3, or @champion, or a time"),
        ("yesterday", "found 'yesterday' after the @"),
    ],
)
def test_an_address_that_means_nothing_is_a_wrong_use(story: World, cli: Cli, what: str, told: str) -> None:
    said = cli("lineage", f"{NAME}@{what}")
    assert (said.code, said.out) == (2, "")
    assert told in said.err


def test_before_any_model_it_says_so(world: World, cli: Cli) -> None:
    world.pipeline("fresh")
    for address in ("fresh", "fresh@1", "fresh@2026-01-01"):
        said = cli("lineage", address)
        assert said.code == 2
        assert "`perennial run fresh` trains the first" in said.err


def test_the_text_fits_and_json_is_whole(story: World, cli: Cli) -> None:
    said = cli("lineage", f"{NAME}@1")
    assert (said.code, said.err) == (0, "")
    assert max(len(line) for line in said.out.splitlines()) <= 100
    assert said.out.startswith(f"{NAME} version 1; champion now: version 2\n")
    made = lived(story, "1").provenance
    assert made is not None
    known = (made.fitted, made.commit, f"python             {made.python}", f"{len(made.packages)} installed")
    for part in ("a.csv", "Ridge", *known, "400 rows of 2 files", "Q02", "version 2"):
        assert part in said.out
    whole = cli("lineage", f"{NAME}@1", "--json").json()
    assert Lineage.model_validate_json(json.dumps(whole)) == lived(story, "1")


def test_pages_of_known_servers_are_linked(story: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_MLFLOW_URL", "http://mlflow.test:5000/")
    monkeypatch.setenv("PREFECT_UI_URL", "http://prefect.test:4200")
    from flows.context import open_pipeline

    one = read(*open_pipeline(NAME), "1", datetime.now(UTC))
    assert one.training is not None
    assert {each.target for each in one.pages} >= {
        f"http://mlflow.test:5000/#/runs/{one.model.run_id}",
        f"http://mlflow.test:5000/#/models/{NAME}/versions/1",
        f"http://prefect.test:4200/runs/flow-run/{one.training.run}",
    }


def test_it_costs_no_heavy_import(story: World) -> None:
    code = (
        "import sys; from datetime import datetime, UTC; from perennial.reporting.lineage.read import read;"
        "from perennial.reporting.lineage.text import text; from perennial.reporting.lineage.page import page;"
        f"from flows.context import open_pipeline; one = read(*open_pipeline({NAME!r}), '1', datetime.now(UTC));"
        "text(one); page(one); print(*sorted(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {"prefect", "mlflow", "sklearn", "great_expectations"} & set(loaded.split())


# ------------------------------------------------------------------------------------------------ the page
class Links(HTMLParser):
    """The ids of a page, where its links lead, its elements that are not closed, and whether it has scripts."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.ids, self.hrefs, self.open, self.tags = list[str](), list[str](), list[str](), set[str]()
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.hrefs += [value or "" for name, value in attrs if name == "href"]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def drawn(content: str) -> ElementTree.Element:
    found = re.search(r"<svg.*?</svg>", content, re.DOTALL)
    assert found is not None
    return ElementTree.fromstring(found.group())  # noqa: S314  # our own drawing


def boxes(content: str) -> list[ElementTree.Element]:
    return [each for each in drawn(content).iter("a") if "node" in each.get("class", "")]


def test_the_page_stands_alone_and_its_boxes_lead_to_its_sections(story: World, cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "below" / "lineage.html"
    said = cli("lineage", f"{NAME}@1", "--html", str(path))
    assert (said.code, said.out) == (0, f"{NAME} version 1: its lineage is in {path}\n")
    content = path.read_text(encoding="utf-8")
    found = Links(content)
    assert found.open == []
    assert {each.removeprefix("#") for each in found.hrefs if each.startswith("#")} <= set(found.ids)
    assert len(found.ids) == len(set(found.ids))
    assert not {"script", "link", "img", "iframe"} & found.tags
    assert "url(" not in content
    titles = [each.findtext("title", "").splitlines()[0] for each in boxes(content)]
    for title in ("a.csv", "observations", "labels", "training set", "version 1", "passed", "predictions", "version 2"):
        assert title in titles


def test_nothing_that_is_told_can_break_the_page(story: World) -> None:
    one = lived(story, "1")
    evil = "<script>alert(1)</script>&\"'"
    files = tuple(each.model_copy(update={"path": evil}) for each in one.accepted)
    refused = (one.accepted[0].model_copy(update={"path": evil, "reasons": (evil,), "verdict": "rejected"}),)
    made = {"accepted": files, "refused": refused, "description": evil, "asked": evil}
    content = page(one.model_copy(update=made))
    assert "<script" not in content
    assert "script" not in Links(content).tags
    drawn(content)


@pytest.mark.parametrize("number", [1, 56, 500])
def test_many_files_are_drawn_as_few_boxes_and_told_in_full(story: World, number: int) -> None:
    one = lived(story, "1")
    like = next(each for each in one.accepted if each.feed == "observations")
    day = timedelta(days=1)
    files = tuple(
        like.model_copy(
            update={"seq": at, "path": f"day-{at:03}.csv", "ingested_at": like.ingested_at + (at // 3) * day}
        )
        for at in range(number)
    )
    many = one.model_copy(update={"accepted": files})
    content = page(many)
    shown = [each for each in graph.graph(many).nodes if each.column in (0, 1)]
    assert len(shown) <= 20
    assert content.count("<td>day-") == number
    said = text(many)
    assert said.count("day-") == min(number, 6)
    assert ("… and 494 more; --json shows all" in said) == (number == 500)
    assert max(len(line) for line in said.splitlines()) <= 100


@pytest.mark.parametrize(("answered", "state"), [(True, "approved"), (False, "expired")])
def test_an_approval_stands_between_verdict_and_champion(copied: World, answered: bool, state: str) -> None:
    asked = datetime(2026, 1, 1, tzinfo=UTC)
    request = ApprovalRequest(
        candidate=1,
        pipeline=NAME,
        version=2,
        champion=1,
        requested_by="tests",
        requested_at=asked,
        deadline=asked + timedelta(hours=2),
    )
    approvals = Approvals(copied.settings)
    approvals.put(request)
    if answered:
        approvals.record_decision(
            request, "approve", by="Ann", verified=True, reason="seen <it>", at=asked + timedelta(hours=1)
        )
    one = lived(copied, "2")
    said = "approved by Ann (by personal token) on 2026-01-01 01:00 UTC: seen <it>"
    assert (said if answered else "no decision by 2026-01-01 02:00 UTC") in " ".join(text(one).split())
    found = graph.graph(one)
    assert {("verdict", "approval"), ("approval", "champion")} <= set(found.edges)
    assert next(node.title for node in found.nodes if node.key == "approval") == state
    assert len(found.heads) == 9
    assert state in [each.findtext("title", "").splitlines()[0] for each in boxes(page(one))]


def test_a_page_that_cannot_be_written_is_told(story: World, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = cli("lineage", NAME, "--html", str(tmp_path / "file" / "below.html"))
    assert said.code == 2
    assert "can't be written" in said.err


# ------------------------------------------------------------------------------------------------ what is damaged
def told_at(world: World, cli: Cli, what: str = "1") -> dict[str, str]:
    """What could not be read, by its place; the rest is there, and the text tells of each."""
    said = cli("lineage", f"{NAME}@{what}", "--json")
    plain = cli("lineage", f"{NAME}@{what}")
    assert said.code == plain.code == 1
    assert "Traceback" not in said.err + plain.err
    value = said.json()
    assert value["version"] == int(what)
    found = {each["place"]: each["message"] for each in value["problems"]}
    assert "could not be read" in plain.out
    assert all(f"  {place}: " in plain.out for place in found)
    return found


def test_a_damaged_manifest_is_told_in_its_place(copied: World, cli: Cli) -> None:
    with connect(copied.settings).begin() as connection:
        connection.execute(sql("update manifests set manifest = '{\"stage\":' where stage = 'training'"))
    found = told_at(copied, cli)
    assert set(found) == {"training", "features"}
    assert "damaged" in found["training"]
    assert "state database" in found["training"]


def test_manifests_that_are_not_there_are_told(copied: World, cli: Cli) -> None:
    with connect(copied.settings).begin() as connection:
        connection.execute(sql("delete from manifests"))
    assert set(told_at(copied, cli)) == {"features", "training", "evaluation"}


def test_a_lost_version_of_a_table_is_told(copied: World, cli: Cli) -> None:
    table = copied.home / "lake" / NAME / "observations"
    version = lived(copied, "1").model.observations
    opened = [
        json.loads(line) for line in (table / "_delta_log" / f"{version:020}.json").read_text("utf-8").splitlines()
    ]
    for line in opened:
        if "add" in line:
            (table / line["add"]["path"]).unlink()
    found = told_at(copied, cli)
    assert set(found) == {"observations"}
    assert f"version {version} can't be read any more" in found["observations"]


def test_a_damaged_log_is_told(copied: World, cli: Cli) -> None:
    for path in (copied.home / "lake" / NAME / "predictions" / "_delta_log").glob("*.json"):
        path.write_text("no json", encoding="utf-8")
    assert set(told_at(copied, cli)) == {"predictions"}


def test_a_ledger_that_is_not_that_of_the_model_is_told(copied: World, cli: Cli) -> None:
    shutil.rmtree(copied.home / "lake" / NAME / "batches")
    found = told_at(copied, cli)
    assert "but the model was trained on" in found["data"]


@pytest.mark.parametrize("content", [None, "{", '{"pipeline": "lived"}', b"\xff\xfe"])
def test_a_provenance_that_is_lost_or_damaged_is_told(story: World, cli: Cli, content: str | bytes | None) -> None:
    path = Path(lived(story, "1").model.folder) / "extra_files" / "provenance.json"
    sound = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    try:
        found = told_at(story, cli)
    finally:
        path.write_bytes(sound)
    assert set(found) == {"provenance"}
    assert str(path) in found["provenance"]
    assert ("is not there" if content is None else "damaged") in found["provenance"]


def test_a_damaged_candidate_is_told_without_a_traceback(copied: World, cli: Cli) -> None:
    with connect(copied.settings).begin() as connection:
        connection.execute(
            sql("update audit set details = '{\"candidate\": {}}' where action = 'candidate' and phase = 'intent'")
        )
    said = cli("lineage", NAME)
    assert said.code == 1
    assert "a candidate in the audit can't be read" in said.err


def test_without_provenance_the_manifests_tell_what_they_have(story: World) -> None:
    one = lived(story, "1").model_copy(update={"provenance": None})
    assert facts.config(one)["training.estimator"] == "sklearn.linear_model.Ridge"
    assert "numpy" in facts.packages(one)
    assert dict(facts.model(one))["estimator"] == "sklearn.linear_model.Ridge"


def test_unknown_version_names_what_is_there(story: World) -> None:
    with pytest.raises(UsageError, match="known here: 1, 2"):
        lived(story, "3")


@pytest.fixture
def moved(story: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The story in a home that it was moved to: where the models were logged, they are no more."""
    away = story.home.with_name("away")
    shutil.copytree(story.home, tmp_path / "home", ignore=shutil.ignore_patterns("prefect"))
    shutil.copytree(story.configs, tmp_path / "configs")
    story.home.rename(away)
    try:
        with monkeypatch.context() as patch:
            yield make_world(tmp_path / "home", tmp_path / "configs", patch)
    finally:
        away.rename(story.home)


def test_a_home_that_was_moved_tells_the_same(moved: World, cli: Cli) -> None:
    said = cli("lineage", f"{NAME}@1", "--json")
    assert (said.code, said.json()["problems"]) == (0, [])
    assert said.json()["provenance"]["fitted"]


def test_a_registry_that_gives_no_answer_is_told(moved: World, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    found = told_at(moved, cli)
    assert set(found) == {"provenance"}
    assert "the registry http://127.0.0.1:9 can't be asked" in found["provenance"]
