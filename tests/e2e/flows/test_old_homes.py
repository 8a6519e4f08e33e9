"""Homes that older versions left open with this one: nothing is lost, nothing runs for the upgrade alone, life goes on.

`tests/support/build_home.py` made them.
"""

from __future__ import annotations

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tasks.provenance import fingerprints
from tasks.records.data import rules_digest
from tasks.records.provenance import changes
from tasks.records.stages import TRAINING_STAGES
from tasks.stores.state import schema
from tasks.stores.state.database import connect
from tasks.stores.state.manifests import Manifests
from tests.support.build_home import ASKED, HOMES, PLAIN
from tests.support.command import Cli
from tests.support.migrating import differences
from tests.support.newer_home import rewrite
from tests.support.world import World, make_world, trips

READ = (
    ("status", "--json"),
    ("status", PLAIN, "--json"),
    ("status", ASKED, "--json"),
    ("plan", PLAIN, "--json"),
    ("plan", ASKED, "--json"),
    ("history", PLAIN, "--json"),
    ("history", ASKED, "--json"),
    ("lineage", PLAIN, "--json"),
    ("lineage", f"{PLAIN}@2", "--json"),
    ("quarantine", "list", PLAIN, "--json"),
    ("report", PLAIN, "--json"),
)


@pytest.fixture(params=sorted(HOMES.glob("*.tar.gz")), ids=lambda path: path.name.removesuffix(".tar.gz"))
def old(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """An older version's home, moved here."""
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    for path in (tmp_path / "configs").glob("*.yaml"):
        renamed(path)
    return make_world(tmp_path / "home", tmp_path / "configs", monkeypatch)


def renamed(path: Path) -> None:
    """Keys that have another name since, as docs/upgrade.md says."""
    text = path.read_text(encoding="utf-8")
    for before, now in (("\npolicy:", "\ncompliance:"), ("settle_seconds:", "stable_seconds:")):
        text = text.replace(before, now)
    path.write_text(text, encoding="utf-8")


def answers(cli: Cli) -> dict[str, Any]:
    """What the commands that only read say."""
    found = {}
    for words in READ:
        said = cli(*words)
        assert said.code == 0, (words, said.err)
        found[" ".join(words)] = said.json()
    return found


def due(world: World, name: str) -> bool:
    """Whether anything that a stage depends on is another than then, such as its code."""
    config, manifests = world.config(name), Manifests(world.settings, name)
    newest = {step: manifests.newest(step) for step in TRAINING_STAGES}
    return any(
        one is None or bool(changes(one.parts, fingerprints.stage_dependencies(config, step)))
        for step, one in newest.items()
    )


def validated_again(world: World, name: str) -> int:
    """Files that were rejected by other rules, of which names of keys are a part: they are read again."""
    rules = rules_digest(world.config(name))
    return sum(one.verdict == "rejected" and one.rules != rules for one in world.ledger(name).values())


def versions(world: World, name: str) -> int:
    with closing(sqlite3.connect(world.settings.state / "mlflow.db")) as database:
        return int(database.execute("SELECT COUNT(*) FROM model_versions WHERE name = ?", (name,)).fetchone()[0])


def test_an_old_home_opens_and_lives_on(old: World, cli: Cli) -> None:
    said = answers(cli)
    with connect(old.settings).connect() as connection:
        assert (schema.number(connection), differences(connection)) == (schema.HEAD, [])
    status = {one["pipeline"]: one for one in said["status --json"]["pipelines"]}
    assert {name: one["champion_periods"][-1]["version"] for name, one in status.items()} == {PLAIN: 1, ASKED: 1}
    assert status[PLAIN]["quarantine"] == {"rows": 1, "files": 1}
    history = said[f"history {PLAIN} --json"]["versions"]
    assert [(one["version"], one["outcome"]) for one in history] == [(1, "promoted"), (2, "promoted")]
    assert said[f"lineage {PLAIN} --json"]["problems"] == []
    assert {manifest.stage for manifest in Manifests(old.settings, PLAIN).all()} >= {"features", "training", "release"}

    stages = {one["stage"]: one["action"] for one in said[f"plan {PLAIN} --json"]["stages"]}
    again = validated_again(old, PLAIN)
    assert stages["ingestion"] == ("run" if again else "reuse")
    if not due(old, PLAIN):  # else code of a stage changed since, which is a reason of its own
        assert set(stages.values()) == {"reuse"}
        assert cli("run", PLAIN, "--json").json()["outcome"] == "nothing_to_do"
        assert versions(old, PLAIN) == 2

    old.land(PLAIN, "c.csv", trips(320, 150, seed=3))
    ran = cli("run", PLAIN, "--json")
    assert ran.code == 0, ran.err
    found = ran.json()
    assert found["batches"] == {"accepted": 1, "rejected": again}
    assert (found["scored"], found["drift"]["champion"]) == (150, 1)
    assert versions(old, PLAIN) == 3
    assert cli("rollback", ASKED, "--reason", "upgraded").code == 0
    outcomes = [one["outcome"] for one in cli("history", ASKED, "--json").json()["versions"]]
    assert outcomes == ["promoted", "rolled_back"]


def test_a_home_with_records_of_a_newer_version_reads_as_before(old: World, cli: Cli) -> None:
    before = answers(cli)
    counts = rewrite(old.home)
    assert counts.keys() == {
        "Back",
        "Candidate",
        "DriftVerdict",
        "Manifest",
        "ModelRef",
        "PerformanceVerdict",
        "Promotion",
        "Provenance",
        "RetrainDecision",
        "RolloutStart",
        "TrainingSetRef",
        "Verdict",
    }
    after = answers(cli)
    for words in READ:
        if words[0] == "lineage":  # it shows what a stage handed on as it is stored
            for stage in ("features", "training", "evaluation", "release"):
                given = (said[" ".join(words)][stage].pop("output") for said in (before, after))
                assert ["of_a_newer_version" in one for one in given] == [False, True]
    assert after == before
    assert cli("rollback", ASKED, "--reason", "read its start").code == 0


def test_a_home_of_a_newer_schema_is_refused(old: World, cli: Cli) -> None:
    connect(old.settings)
    with closing(sqlite3.connect(old.settings.state / "audit.db")) as database, database:
        database.execute("UPDATE perennial_schema SET version_num = '0999'")
    schema._current.clear()
    said = cli("status", PLAIN)
    assert (said.code, said.out) == (2, "")
    assert "has schema 0999; this version of Perennial knows schemas up to" in said.err
    assert "Upgrade Perennial" in said.err
