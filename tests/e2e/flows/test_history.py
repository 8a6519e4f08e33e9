"""`perennial history` after a story of versions: what changed in each, its effect, its cost, and what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from perennial.reporting.changes import describe
from perennial.reporting.changes.read import read
from perennial.reporting.changes.records import History, VersionChange, VersionHistory
from tasks.stores.state.database import connect
from tasks.stores.state.manifests import _manifests
from tests.support.command import Cli
from tests.support.world import ROOT, World, trips

NAME = "told"
PRICES = {"currency": "CHF", "cpu_hour": 3600.0}


def pipeline(world: World, alpha: float = 1.0, **more: Any) -> None:
    changes = {"retrain": {"new_rows": 100}, "training": {"parameters": {"alpha": alpha}}, "cost": PRICES, **more}
    world.pipeline(NAME, changes)


@pytest.fixture(scope="module")
def story(module_world: World) -> World:
    """More data, with a refused file; another parameter, which is worse; a gate that rejects everything."""
    world = module_world
    pipeline(world)
    world.land(NAME, "a.csv", trips(0, 300, seed=1, weak=True))
    assert world.run(NAME).outcome == "promoted"
    world.land(NAME, "b.csv", trips(300, 500, seed=2, shift=1.0))
    world.land(NAME, "bad.csv", "id,at\n1,not a time\n")
    assert world.run(NAME).outcome == "promoted"
    pipeline(world, alpha=2000.0)
    assert world.run(NAME).outcome == "kept_champion"
    pipeline(world, evaluation={"bounds": [{"metric": "mae", "maximum": 0.0001}]})
    world.land(NAME, "c.csv", trips(800, 300, seed=3))
    assert world.run(NAME).outcome == "kept_champion"
    return world


def told(world: World, version: int | None = None) -> History:
    return read(world.config(NAME), world.settings, version)


def one(world: World, version: int) -> VersionHistory:
    (found,) = told(world, version).versions
    return found


def fields(change: VersionChange) -> dict[str, tuple[Any, Any]]:
    assert change.config is not None
    return {field.field: (field.before, field.now) for field in change.config}


def test_every_judged_version_is_told_oldest_first(story: World) -> None:
    history = told(story)
    assert [(each.version, each.outcome) for each in history.versions] == [
        (1, "promoted"),
        (2, "promoted"),
        (3, "kept_champion"),
        (4, "kept_champion"),
    ]
    assert (history.champion, history.notes) == (2, ())
    assert {each.by for each in history.versions} == {"tests"}
    assert [each.rival for each in history.versions] == [None, 1, 2, 2]


def test_more_data_are_told_with_rows_windows_and_drift(story: World) -> None:
    (change,) = one(story, 2).changes
    data = change.data
    assert (change.against, fields(change)) == (1, {})
    assert [(file.path, file.rows) for file in data.files] == [("b.csv", 500)]
    assert (data.rows, data.labels) == (500, 0)
    assert (str(data.first), str(data.last)) == ("2026-01-13 12:00:00+00:00", "2026-02-03 07:00:00+00:00")
    assert data.before_train_rows is not None
    assert data.train_rows > data.before_train_rows
    assert [refused.split(":")[0] for refused in data.refused] == ["bad.csv"]
    assert data.drift is not None
    assert (data.drift.state, data.drift.columns[0].column) == ("act", "x1")


def test_another_parameter_is_told_with_what_it_did(story: World) -> None:
    version = one(story, 3)
    (change,) = version.changes
    assert fields(change) == {"training.parameters.alpha": (1.0, 2000.0)}
    assert (change.data.files, change.data.refused) == ((), ())
    effects = {effect.metric: effect.improvement for effect in version.effects}
    assert set(effects) == {"mae", "rmse", "r2"}
    assert next(iter(effects)) == "mae"
    for interval in effects.values():
        assert interval is not None
        assert interval.low < interval.estimate < interval.high < 0


def test_the_effect_is_the_gate_s_own_comparison(story: World) -> None:
    from tasks.stores.state.audit import Audit
    from tasks.stores.state.candidates import evaluated

    for version, (_, candidate, _, _) in zip(told(story).versions, evaluated(Audit(story.settings), NAME), strict=True):
        assert version.effects[0].improvement == candidate.verdict.comparison


def test_where_the_champion_is_another_than_the_version_before_both_are_told(story: World) -> None:
    """Version 4 follows the rejected 3, and was compared with 2: the effect is to be read beside what changed since."""
    before, rival = one(story, 4).changes
    assert (before.against, rival.against) == (3, 2)
    gate = {"evaluation.bounds[0].maximum": (None, 0.0001), "evaluation.bounds[0].metric": (None, "mae")}
    assert fields(before) == {"training.parameters.alpha": (2000.0, 1.0), **gate}
    assert fields(rival) == gate
    assert [file.path for file in rival.data.files] == ["c.csv"]


def test_what_a_version_took_from_another_is_paid_once(story: World) -> None:
    stages = {stage.stage: stage for stage in one(story, 3).stages}
    assert {name: stage.paid_by for name, stage in stages.items()} == {
        "features": "version 2",
        "training": "",
        "evaluation": "",
    }
    total = one(story, 3).total
    assert total is not None
    own = [stages["training"].cost, stages["evaluation"].cost]
    assert total.seconds == pytest.approx(sum(cost.seconds for cost in own), abs=0.002)
    assert total.peak_mebibytes == max(cost.peak_mebibytes for cost in own)


def test_money_is_by_the_configured_prices(story: World) -> None:
    """3600 an hour of CPU is 1 a second."""
    version = one(story, 1)
    assert version.total is not None
    assert version.money == pytest.approx(version.total.cpu_seconds, abs=0.01)
    assert told(story).currency == "CHF"


def test_code_and_packages_are_the_same_in_one_checkout(story: World) -> None:
    (change,) = one(story, 3).changes
    assert change.code is not None
    assert (change.code.modules, change.packages, change.unknown) == ((), (), ())
    assert change.code.before == change.code.now


def test_text_and_markdown_say_it(story: World, cli: Cli) -> None:
    said = cli("history", NAME, "--version", "3")
    assert said.code == 0
    assert "    config   training.parameters.alpha: 1.0 → 2000.0" in said.out
    assert "compared with version 2, the champion then, on" in said.out
    page = cli("history", NAME, "--markdown").out
    assert page.startswith(f"# {NAME}: history\n")
    assert "- config: training.parameters.alpha: 1.0 → 2000.0" in page
    assert page.count("\n## version ") == 4
    assert cli("history", NAME, "--json").json() == json.loads(told(story).model_dump_json())


def test_wrong_use_is_told(story: World, cli: Cli) -> None:
    said = cli("history", NAME, "--version", "9")
    assert (said.code, said.out) == (2, "")
    assert said.err == f"perennial: {NAME} has no version 9; known here: 1, 2, 3, 4. Leave --version out for all.\n"
    assert cli("history", NAME, "--json", "--markdown").code == 2


def test_before_any_version_it_says_so(world: World, cli: Cli) -> None:
    world.pipeline("fresh")
    assert "no candidate has been evaluated yet" in cli("history", "fresh").out


def rewritten(world: World, change: Callable[[str, dict[str, Any]], str | None]) -> Callable[[], None]:
    """Every manifest's text as the change says (None: taken out); what is returned puts all back."""
    engine = connect(world.settings)
    columns = (_manifests.c.id, _manifests.c.pipeline, _manifests.c.stage, _manifests.c.fingerprint)
    with engine.connect() as connection:
        kept = [dict(row) for row in connection.execute(sa.select(*columns, _manifests.c.manifest)).mappings()]

    def put(rows: list[dict[str, Any]]) -> None:
        with engine.begin() as connection:
            connection.execute(sa.delete(_manifests))
            connection.execute(sa.insert(_manifests), rows)

    made = [(row, change(row["stage"], json.loads(row["manifest"]))) for row in kept]
    put([{**row, "manifest": text} for row, text in made if text is not None])
    return lambda: put(kept)


@pytest.fixture
def undo() -> Iterator[list[Callable[[], None]]]:
    found: list[Callable[[], None]] = []
    yield found
    for one in found:
        one()


def test_other_commits_code_and_packages_are_told(story: World, undo: list[Callable[[], None]]) -> None:
    """As if version 2 had been made by another commit, with other code and other packages."""
    old, new = "1" * 40, "2" * 40

    def older(stage: str, manifest: dict[str, Any]) -> str:
        if stage == "training":
            before = manifest["parts"]["config"]["training.parameters.alpha"] == 1.0
            numpy = "2.3.0" if before else "2.4.6"
            manifest["parts"]["code"]["tasks/training/fit.py"] = str(before)
            manifest["parts"]["code"] |= {} if before else {"tasks/training/new.py": "0"}
            manifest["parts"]["libraries"]["numpy"] = numpy
            packages = {"numpy": numpy, "rich": "13.0" if before else "14.0"}
            manifest["facts"] |= {"commit": old if before else new, "packages": packages}
        return json.dumps(manifest)

    undo.append(rewritten(story, older))
    (change,) = one(story, 3).changes
    assert change.code is not None
    assert change.code.modules == ("tasks/training/fit.py changed", "tasks/training/new.py added")
    assert (change.code.before, change.code.now, change.code.commits) == (old, new, ())
    assert change.packages is not None
    assert [(each.name, each.before, each.now, each.matters) for each in change.packages] == [
        ("numpy", "2.3.0", "2.4.6", True),
        ("rich", "13.0", "14.0", False),
    ]
    told = dict(describe.lines(change))
    assert told["packages"] == "… and 1 package on which no stage depends by itself"
    assert told["code"] == "the subjects of the commits between are not known here"


def test_a_damaged_manifest_is_told_and_the_other_versions_all_the_same(
    story: World, cli: Cli, undo: list[Callable[[], None]]
) -> None:
    def damage(stage: str, manifest: dict[str, Any]) -> str:
        hit = stage == "training" and manifest["parts"]["config"]["training.parameters.alpha"] == 2000.0
        return json.dumps(manifest)[:100] if hit else json.dumps(manifest)

    undo.append(rewritten(story, damage))
    history = told(story)
    assert len(history.versions) == 4
    assert len(history.notes) == 1
    assert "(training) in the state database is damaged" in history.notes[0]
    (change,) = history.versions[2].changes
    assert any("training: its manifest is damaged or not there" in each for each in change.unknown)
    assert history.versions[1].changes[0].unknown == ()
    said = cli("history", NAME)
    assert said.code == 1
    assert "version 3: training: its manifest is damaged or not there" in said.out


def test_versions_without_manifests_are_told_as_far_as_they_are_known(
    story: World, cli: Cli, undo: list[Callable[[], None]]
) -> None:
    def forget(stage: str, manifest: dict[str, Any]) -> str | None:
        return None if stage == "training" else json.dumps(manifest)

    undo.append(rewritten(story, forget))
    version = one(story, 2)
    (change,) = version.changes
    assert change.config == ()  # of evaluation, which is known of both
    assert any("older than manifests" in each for each in change.unknown)
    assert [file.path for file in change.data.files] == ["b.csv"]
    assert version.effects[0].improvement is not None
    assert cli("history", NAME).code == 0


# ------------------------------------------------------------------------------------------------ each change by itself
def attributed(cli: Cli, *words: str) -> dict[str, Any]:
    found = cli("history", NAME, "--attribute", "--json", *words)
    assert found.code == 0, found.err
    attribution = found.json()["attribution"]
    assert isinstance(attribution, dict)
    return attribution


def test_each_change_is_told_with_its_true_sign(story: World, cli: Cli) -> None:
    """Version 4 has more rows than 3 and hardly shrinks: both make it better, and less so together."""
    found = attributed(cli, "--version", "4")
    assert (found["before"], found["version"], found["metric"]) == (3, 4, "mae")
    parts = {part["name"]: part["effect"] for part in found["parts"]}
    assert list(parts) == ["data", "training.parameters.alpha"]  # the gate changes no model
    for effect in parts.values():
        assert 0 < effect["low"] < effect["estimate"]
    assert found["sum"] == pytest.approx(sum(effect["estimate"] for effect in parts.values()))
    assert found["left"] == pytest.approx(found["whole"]["estimate"] - found["sum"])
    assert found["left"] < 0
    assert found["whole"]["estimate"] == pytest.approx(found["before_value"] - found["value"])


def test_a_single_change_is_the_whole(story: World, cli: Cli) -> None:
    """It makes worse what it made worse when it was judged."""
    found = attributed(cli, "--version", "3")
    ((name, effect),) = [(part["name"], part["effect"]) for part in found["parts"]]
    assert name == "training.parameters.alpha"
    assert effect == found["whole"]
    assert effect["high"] < 0
    judged = one(story, 3).effects[0].improvement
    assert judged is not None
    assert effect["estimate"] == pytest.approx(judged.estimate)


def test_a_change_s_effect_is_that_of_a_model_fitted_by_hand(story: World, cli: Cli) -> None:
    """Version 2's data with version 1's parameter, and the other way round: by scikit-learn alone."""
    import numpy as np

    from perennial.reporting.changes.read import neighbours
    from perennial.reporting.changes.rebuild import recorded_version, training_set, version_data
    from tasks.stores.lake.tables import Lake
    from tasks.stores.registry.tracking import Tracking

    config, tracking = story.config(NAME), Tracking(story.settings, NAME)
    before, now, _ = neighbours(config, story.settings, 4)
    old, new = (recorded_version(each, tracking.with_local_files(each.candidate.model)) for each in (before, now))
    lake = Lake(story.settings, config)
    sets = [training_set(each.config, version_data(lake, each, (old.config, new.config))) for each in (old, new)]
    errors = {
        (place, alpha): np.abs(by_hand(sets[place].train, alpha).predict(matrix(held)) - held["_target"]).mean()
        for held in [sets[1].holdout.to_pandas()]
        for place, alpha in ((0, 2000.0), (1, 2000.0), (0, 1.0))
    }
    parts = {part["name"]: part["effect"]["estimate"] for part in attributed(cli, "--version", "4")["parts"]}
    assert parts["data"] == pytest.approx(errors[0, 2000.0] - errors[1, 2000.0])
    assert parts["training.parameters.alpha"] == pytest.approx(errors[0, 2000.0] - errors[0, 1.0])


def by_hand(table: Any, alpha: float) -> Any:
    from sklearn.linear_model import Ridge

    frame = table.to_pandas()
    return Ridge(alpha=alpha).fit(matrix(frame), frame["_target"])


def matrix(frame: Any) -> Any:
    import numpy as np

    kinds = [(frame["kind"] == kind).to_numpy(dtype=float) for kind in ("bus", "rail", "tram")]
    return np.column_stack([frame["x1"], frame["x2"], *kinds])


def test_what_is_rebuilt_answers_as_what_is_registered(story: World, cli: Cli) -> None:
    notes = attributed(cli)["notes"]
    assert len(notes) == 2
    assert all(note.endswith("predicts every row exactly as the registered model") for note in notes)


def test_attributing_writes_nothing(story: World, cli: Cli) -> None:
    from tasks.stores.lake.tables import Lake
    from tasks.stores.registry.tracking import Tracking

    def state() -> tuple[Any, ...]:
        lake = Lake(story.settings, story.config(NAME))
        opened = [lake.open(table) for table in lake.tables]
        versions = [None if table is None else table.version() for table in opened]
        return versions, len(Tracking(story.settings, NAME).registered()), told(story)

    before = state()
    assert cli("history", NAME, "--attribute").code == 0
    assert state() == before


def test_the_text_shows_sum_whole_and_what_is_left(story: World, cli: Cli) -> None:
    said = cli("history", NAME, "--attribute", "--version", "4")
    for line in ("sum of these", "all changes together", "left: their interaction"):
        assert line in said.out
    assert "rebuild data" in said.err


@pytest.mark.parametrize(("version", "says"), [("1", "is the first"), ("9", "has no version 9")])
def test_what_can_t_be_attributed_is_told(story: World, cli: Cli, version: str, says: str) -> None:
    said = cli("history", NAME, "--attribute", "--version", version)
    assert (said.code, said.out) == (2, "")
    assert says in said.err


@pytest.mark.parametrize("text", [None, "{"], ids=["gone", "damaged"])
def test_a_version_without_its_provenance_can_t_be_rebuilt(story: World, cli: Cli, text: str | None) -> None:
    from perennial.reporting.changes.read import neighbours
    from tasks.stores.registry.tracking import Tracking

    before, _, _ = neighbours(story.config(NAME), story.settings, 3)
    folder = Path(Tracking(story.settings, NAME).with_local_files(before.candidate.model).folder)
    path = folder / "extra_files" / "provenance.json"
    kept = path.read_bytes()
    path.unlink()
    if text is not None:
        path.write_text(text, encoding="utf-8")
    try:
        said = cli("history", NAME, "--attribute", "--version", "3")
    finally:
        path.write_bytes(kept)
    assert (said.code, said.out) == (1, "")
    assert "version 2 can't be rebuilt" in said.err
    assert "provenance.json is" in said.err


def test_it_costs_no_heavy_import() -> None:
    modules = "perennial.cli.main, perennial.reporting.changes.page, perennial.reporting.changes.read"
    code = f"import {modules}, sys; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {"prefect", "mlflow", "pandas", "sklearn"} & set(loaded.split())
