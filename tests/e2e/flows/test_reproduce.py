"""A version is rebuilt from its lineage and proved equal; what differs is reported."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tasks.stores.environment import ROOT
from tasks.stores.registry import models
from tasks.stores.settings import Settings
from tests.support.command import Cli, Said, perennial
from tests.support.world import World, trips, write

NAME, SEARCHED = "rebuilt", "searched"
SEARCH: dict[str, Any] = {
    "labels": {"landing": "searched_labels"},
    "training": {
        "estimator": "sklearn.model_selection.GridSearchCV",
        "parameters": {
            "cv": 2,
            "estimator": {"estimator": "sklearn.ensemble.ExtraTreesRegressor", "parameters": {"n_estimators": 5}},
            "param_grid": {"max_depth": [3, 6]},
        },
    },
}


@pytest.fixture(scope="module")
def kept(module_world: World) -> Path:
    """A home in which two pipelines were trained, moved away: nothing is where it was recorded."""
    world = module_world
    world.pipeline(NAME)
    world.land(NAME, "first.csv", trips(0, 200, seed=1))
    assert world.run(NAME).outcome == "promoted"
    world.land(NAME, "second.csv", trips(200, 100, seed=2))
    world.run(NAME)
    world.pipeline(SEARCHED, SEARCH)
    frame = trips(0, 200, seed=3)
    world.land(SEARCHED, "rows.csv", frame.drop(columns="y"))
    world.land("searched_labels", "rows.csv", frame[["id", "y"]])
    assert world.run(SEARCHED).outcome == "promoted"
    gone = world.home.with_name("gone")
    world.home.rename(gone)
    for config in world.configs.iterdir():
        config.unlink()
    return gone


@pytest.fixture
def home(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own into which only lake, registry and lineage were copied."""
    folder = tmp_path / "copy"
    for name in ("lake", "models", "lineage"):
        if (kept / name).is_dir():
            shutil.copytree(kept / name, folder / name)
    (folder / "state").mkdir()
    shutil.copy(kept / "state" / "mlflow.db", folder / "state")
    monkeypatch.setenv("PERENNIAL_HOME", str(folder))
    return folder


def content(folder: Path) -> dict[str, str]:
    """Digest of each file of lake and models."""
    files = [path for name in ("lake", "models") for path in (folder / name).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def provenance(home: Path, name: str, version: int) -> Path:
    """The file of a version's provenance."""
    from tasks.stores.registry.tracking import Tracking

    return Path(Tracking(Settings(home=home), name).model(version).folder) / models.EXTRA / models.PROVENANCE_FILE


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Change a provenance as given; what it was."""
    known = json.loads(path.read_text(encoding="utf-8"))
    changed = json.loads(json.dumps(known))
    change(changed)
    path.write_text(json.dumps(changed), encoding="utf-8")
    return dict(known)


def not_equal(said: Said) -> dict[str, dict[str, Any]]:
    """The checks that are not equal, of a command that reported some."""
    assert said.code == 1, said
    assert "Traceback" not in said.err
    found = said.json()
    assert found["equal"] is False
    return {one["name"]: one for one in found["checks"] if one["outcome"] != "equal"}


@pytest.mark.system
@pytest.mark.parametrize("address", [f"{NAME}@1", f"{NAME}@2", SEARCHED])
def test_another_process_and_home_rebuild_it_equal(address: str, home: Path, server: str, tmp_path: Path) -> None:
    before = content(home)
    (tmp_path / "configs").mkdir()
    own = {"PREFECT_API_URL": server, "OMP_NUM_THREADS": "1"}  # whatever it was trained with is pinned
    child = perennial("reproduce", address, "--json", home=home, configs=tmp_path / "configs", env=own)
    out, err = child.communicate(timeout=200)
    assert child.returncode == 0, out + err
    found = json.loads(out)
    assert (found["equal"], found["rebuilt"], found["environment"]) == (True, True, "")
    assert [one["outcome"] for one in found["checks"]] == ["equal"] * 11
    assert content(home) == before


def test_the_table_says_what_was_proved(home: Path, cli: Cli) -> None:
    said = cli("reproduce", f"{NAME}@champion")
    assert said.code == 0, said
    lines = said.out.splitlines()
    assert lines[0].startswith(f"{NAME} version ")
    assert lines[0].endswith(": rebuilt equal")
    assert [line.split()[0] for line in lines[3:]] == ["="] * 11
    assert "rows, in one batch, to the bit" in said.out


def test_the_page_in_prefect_tells_it(home: Path, cli: Cli) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    cli("reproduce", NAME)
    with get_client(sync_client=True) as client:
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[f"{NAME}-reproduce"]))
        [page, *_] = client.read_artifacts(artifact_filter=wanted)
    assert ": rebuilt equal" in str(page.data)


# ------------------------------------------------------------------------------------------------ not as it was then
def other_package(made_of: dict[str, Any], commit: str = "") -> None:
    made_of["training"]["libraries"]["scikit-learn"] = "1.8.0"
    made_of["commit"] = commit


def test_another_package_is_told_and_nothing_rebuilt(home: Path, cli: Cli) -> None:
    rewrite(provenance(home, NAME, 1), other_package)
    wrong = not_equal(cli("reproduce", f"{NAME}@1", "--json"))
    assert list(wrong) == ["packages"]
    assert wrong["packages"]["found"].startswith("scikit-learn 1.8.0 → ")
    said = cli("reproduce", f"{NAME}@1")
    assert said.out.startswith(f"{NAME} version 1: not rebuilt, its inputs differ\n")
    refused = cli("reproduce", f"{NAME}@1", "--in-place-env")
    assert refused.code == 2
    assert "was made with other packages: scikit-learn 1.8.0 → " in refused.err


def test_another_python_is_told(home: Path, cli: Cli) -> None:
    rewrite(provenance(home, NAME, 1), lambda known: known.update(python="3.10.9", commit=""))
    assert not_equal(cli("reproduce", f"{NAME}@1", "--json"))["packages"]["found"].startswith("Python 3.10 → 3.1")


def test_changed_code_is_told_by_module_with_what_to_do(home: Path, cli: Cli) -> None:
    commit = "1234567890" * 4

    def change(known: dict[str, Any]) -> None:
        known["training"]["code"]["tasks/features/frame.py"] = "0" * 64
        known["commit"] = commit

    rewrite(provenance(home, NAME, 1), change)
    wrong = not_equal(cli("reproduce", f"{NAME}@1", "--json"))
    assert list(wrong) == ["code"]
    assert "code changed: tasks/features/frame.py" in wrong["code"]["found"]
    assert f"git worktree add ../perennial-{commit[:12]} {commit}" in wrong["code"]["remedy"]
    assert "make setup" in wrong["code"]["remedy"]


def test_a_configuration_of_another_schema_is_told(home: Path, cli: Cli) -> None:
    rewrite(provenance(home, NAME, 1), lambda known: known["config"].update(flavour="plum"))
    wrong = not_equal(cli("reproduce", f"{NAME}@1", "--json", "--in-place-env"))
    assert wrong["configuration"]["found"].startswith("flavour: ")


def test_rows_whose_files_are_gone_are_told(home: Path, cli: Cli) -> None:
    for path in (home / "lake" / NAME / "observations").glob("*.parquet"):
        path.unlink()
    wrong = not_equal(cli("reproduce", f"{NAME}@1", "--json"))
    assert list(wrong) == ["rows"]
    assert "can't be read any more" in wrong["rows"]["found"]
    assert "Restore the lake's folder" in wrong["rows"]["remedy"]


def test_a_table_version_that_is_not_there_is_told(home: Path, cli: Cli) -> None:
    rewrite(provenance(home, NAME, 1), lambda known: known["dataset"].update(observations=99))
    assert "found version 99; expected 0 to " in not_equal(cli("reproduce", f"{NAME}@1", "--json"))["rows"]["found"]


def test_files_that_are_not_in_the_ledger_are_told(home: Path, cli: Cli) -> None:
    shutil.rmtree(home / "lake" / NAME / "batches")
    wrong = not_equal(cli("reproduce", f"{NAME}@1", "--json"))
    assert list(wrong) == ["files"]
    assert wrong["files"]["found"].startswith("0 accepted files, through number ")


def test_a_model_that_is_not_the_one_recorded_is_told(home: Path, cli: Cli) -> None:
    first, second = (provenance(home, NAME, version).parents[1] for version in (1, 2))
    shutil.copy(second / models.MODEL_FILE, first / models.MODEL_FILE)
    wrong = not_equal(cli("reproduce", f"{NAME}@1", "--json"))
    assert list(wrong) == ["registered object", "holdout"]
    assert wrong["holdout"]["found"].endswith(" predictions differ")


def test_a_fit_that_comes_out_another_is_told(home: Path, cli: Cli) -> None:
    def change(known: dict[str, Any]) -> None:
        known["config"]["training"]["parameters"]["alpha"] = 1.001

    rewrite(provenance(home, NAME, 1), change)
    said = cli("reproduce", f"{NAME}@1", "--json")
    assert list(not_equal(said)) == ["fitted object", "probe rows", "holdout", "evaluated predictions"]
    assert said.json()["rebuilt"] is True


def test_a_verdict_that_tells_no_answers_is_not_taken_for_equal(home: Path, cli: Cli) -> None:
    for path in (home / "models" / NAME).rglob("verdict.json"):
        path.unlink()
    wrong = not_equal(cli("reproduce", f"{NAME}@1", "--json"))
    assert (list(wrong), wrong["evaluated predictions"]["outcome"]) == (["evaluated predictions"], "not_recorded")


# ------------------------------------------------------------------------------------------------ what is not there
def damage_provenance(home: Path) -> None:
    rewrite(provenance(home, NAME, 1), lambda known: known.update(threads="many"))


def cut_provenance(home: Path) -> None:
    path = provenance(home, NAME, 1)
    path.write_bytes(path.read_bytes()[:100])


def cut_verdict(home: Path) -> None:
    for path in (home / "models" / NAME).rglob("verdict.json"):
        path.write_text("{")


MISSING: dict[str, tuple[str, Callable[[Path], None], int, str]] = {
    "an unknown version": (
        f"{NAME}@77",
        lambda _: None,
        2,
        f"{NAME} has no version 77; versions in the registry: 1, 2.",
    ),
    "an unknown pipeline": ("nobody", lambda _: None, 2, "nobody has no champion; no version is registered yet"),
    "neither a number nor the champion": (
        f"{NAME}@new",
        lambda _: None,
        2,
        "found 'new' after the @; expected a version",
    ),
    "no provenance": (
        f"{NAME}@1",
        lambda home: provenance(home, NAME, 1).unlink(),
        1,
        "what the model was made from was",
    ),
    "a damaged provenance": (f"{NAME}@1", damage_provenance, 1, "is damaged: threads: Input should be a valid integer"),
    "half a provenance": (f"{NAME}@1", cut_provenance, 1, "provenance.json is damaged: the file: Invalid JSON"),
    "a damaged verdict": (f"{NAME}@1", cut_verdict, 1, "verdict.json of run "),
    "no registry": (f"{NAME}@1", lambda home: (home / "state" / "mlflow.db").unlink(), 1, "there is no registry: "),
    "no files of the model": (
        f"{NAME}@1",
        lambda home: shutil.rmtree(home / "models"),
        1,
        "files that the registry tells",
    ),
}


@pytest.mark.parametrize("case", MISSING)
def test_what_is_missing_is_told_in_a_line(case: str, home: Path, cli: Cli) -> None:
    address, damage, code, told = MISSING[case]
    damage(home)
    said = cli("reproduce", address)
    assert said.code == code, said
    [line] = [one for one in said.err.splitlines() if one.startswith("perennial: ")]
    assert told in line
    assert "Traceback" not in said.err
    assert said.out == ""


class Forbidding(BaseHTTPRequestHandler):
    """A registry that lets nobody in."""

    def do_GET(self) -> None:
        self.send_error(403)

    def log_message(self, *_: object) -> None:
        """Not on standard error."""


def test_a_registry_that_can_not_be_asked_is_told(home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Forbidding) as registry:
        threading.Thread(target=registry.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{registry.server_port}"
        monkeypatch.setenv("PERENNIAL_MLFLOW_TRACKING_URI", address)
        said = cli("reproduce", NAME)
        registry.shutdown()
    assert said.code == 1
    assert f"perennial: the registry {address} can't be asked: " in said.err


# ------------------------------------------------------------------------------------------------ code of then
SETUP = """\
setup:
\t@mkdir -p .venv/bin && cp stand-in .venv/bin/python && chmod +x .venv/bin/python && echo made >> .venv/made
"""
STAND_IN = """\
#!/bin/sh
echo "$@ $PERENNIAL_HOME $OMP_NUM_THREADS" >> .venv/asked
cat answer.json
"""


def repository(folder: Path, answer: str, setup: str = SETUP) -> str:
    """A git repository whose environment is a stand-in that gives one answer; its commit."""
    for name, text in {"Makefile": setup, "stand-in": STAND_IN, "answer.json": answer}.items():
        write(folder / name, text)

    def git(*words: str) -> str:
        own = ["-c", "user.name=tests", "-c", "user.email=tests@perennial.invalid"]
        asked = ["git", *own, "-C", str(folder), *words]
        done = subprocess.run(asked, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "then")
    return git("rev-parse", "HEAD")


def test_code_and_packages_of_then_rebuild_it(
    home: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = cli("reproduce", f"{NAME}@1", "--json").json()
    answer = json.dumps({name: value for name, value in known.items() if name != "equal"})
    commit = repository(tmp_path / "then", answer)
    monkeypatch.setattr("flows.reproduce.ROOT", tmp_path / "then")
    rewrite(provenance(home, NAME, 1), lambda made_of: other_package(made_of, commit))
    folder = home / "environments" / commit
    for _ in range(2):
        said = cli("reproduce", f"{NAME}@1")
        assert said.code == 0, said
        assert f"  in {folder}" in said.out.splitlines()
    threads = known["threads"]
    asked = f"-m tasks.training.rebuild {NAME} 1 {home} {threads}\n"
    assert (folder / ".venv" / "asked").read_text() == asked * 2
    (folder / "Makefile").unlink()  # a killed or careless hand: it is made again from the commit
    assert cli("reproduce", f"{NAME}@1").code == 0
    assert (folder / ".venv" / "made").read_text() == "made\n"


def test_an_environment_that_can_not_be_made_is_told(
    home: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = repository(tmp_path / "then", "{}", "setup:\n\t@echo no such package >&2; exit 3\n")
    monkeypatch.setattr("flows.reproduce.ROOT", tmp_path / "then")
    rewrite(provenance(home, NAME, 1), lambda made_of: other_package(made_of, commit))
    said = cli("reproduce", f"{NAME}@1")
    assert said.code == 1
    assert "perennial: `make -C " in said.err
    assert "ended with 2: " in said.err


@pytest.mark.system
def test_the_program_of_then_proves_it_too(home: Path) -> None:
    words = [sys.executable, "-m", "tasks.training.rebuild", NAME, "1"]
    done = subprocess.run(words, cwd=ROOT, env={**os.environ}, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert all(one["outcome"] == "equal" for one in json.loads(done.stdout)["checks"])
