"""A person rolls a version back: the rollout, or the champion, step by step, and takes that back again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.rollback import rollback as rollback_flow
from tasks.lifecycle.up_to_date import undeployed
from tasks.release.rollback import Rollback
from tasks.stores.lake.tables import Lake
from tasks.stores.registry.tracking import Tracking
from tasks.stores.state import rollouts
from tasks.stores.state.audit import Audit
from tasks.stores.state.rollouts import ROLLBACK
from tests.support.command import Cli, showing
from tests.support.direct import deploy
from tests.support.rollouts import another, begun, deployed, ended, events, page, tags
from tests.support.world import NEVER_RETRAIN, ROOT, World, trips

NAME = "back"
SHOWN: dict[str, Any] = {"rollout": {"steps": [{"kind": "canary", "share": 0.5, "requests": 40}]}}
SHOW = showing("prefect", "great_expectations", "evidently")


@pytest.fixture(scope="module")
def three(module_world: World) -> World:
    """A pipeline with three champions, one after the other."""
    module_world.pipeline(NAME, NEVER_RETRAIN)
    module_world.land(NAME, "a.csv", trips(0, 150, seed=1))
    assert module_world.run(NAME).champion == 1
    for version in (2, 3):
        another(module_world, NAME)
        assert (deployed(NAME).outcome, module_world.alias(NAME)) == ("promoted", version)
    return module_world


def marked(world: World) -> list[int]:
    return sorted(rollouts.rolled_back(Audit(world.settings), NAME))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--to", "9"), "back has no version 9; known here: 1, 2, 3."),
        (("--to", "3"), "back@3 is champion already. Nothing was changed."),
        (("--to", "0"), "--to"),
        (("--reason", "x" * 2001), "found 2001 characters"),
    ],
)
def test_wrong_use_is_told_and_moves_nothing(three: World, cli: Cli, words: tuple[str, ...], complaint: str) -> None:
    said = cli("rollback", NAME, *words)
    assert (said.code, said.out) == (2, "")
    assert complaint in said.err
    assert "Traceback" not in said.err
    assert (three.alias(NAME), marked(three)) == (3, [])


def test_a_version_that_did_not_pass_can_not_serve(three: World, cli: Cli) -> None:
    from datetime import UTC, datetime

    from tasks.stores.state import candidates

    audit = Audit(three.settings)
    another(three, NAME)
    (intent, last) = candidates.waiting(audit, NAME)[-1]
    failed = last.model_copy(update={"verdict": last.verdict.model_copy(update={"passed": False})})
    candidates.close_candidate(
        audit, NAME, intent, "kept_champion", 0, at=datetime.now(UTC), actor="tests", reason="dropped"
    )
    put = candidates.submit(
        audit, failed.model_copy(update={"evaluation": "other"}), at=datetime.now(UTC), actor="trainer"
    )
    assert put is not None
    assert deployed(NAME).outcome == "kept_champion"
    said = cli("rollback", NAME, "--to", "4")
    assert said.code == 2
    assert "back@4 did not pass its gates" in said.err
    assert three.alias(NAME) == 3


def test_the_files_must_be_there_before_the_alias_moves(three: World, cli: Cli) -> None:
    folder = Path(Tracking(three.settings, NAME).model(2).folder)
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    (folder / "model.skops").write_bytes(b"nothing")
    try:
        said = cli("rollback", NAME)
    finally:
        shutil.rmtree(folder)
        kept.rename(folder)
    assert said.code == 1, said.err
    assert "model.skops: can't be loaded as a model" in said.err
    assert (three.alias(NAME), marked(three)) == (3, [])


def test_rolling_back_twice_goes_further_back(three: World, cli: Cli) -> None:
    said = cli("rollback", NAME, "--reason", " too\n slow ", "--json")
    assert said.code == 0, said.err
    told = said.json()
    assert (told["version"], told["champion"], told["rollout"], told["by"]) == (3, 2, False, "tests")
    assert told["reason"] == "too slow"
    assert (three.alias(NAME), marked(three)) == (2, [3])
    assert tags(three, NAME, 3)["perennial.rolled_back"] == "too slow"
    assert Audit(three.settings).champion_periods(NAME)[-1].reason == "rollback from version 3: too slow"
    assert events(three, NAME)[-1] == ("model.rolled_back", 3)
    rows = Lake(three.settings, three.config(NAME)).read("decisions", ["kind", "outcome"]).to_pylist()
    assert {"kind": "rollback", "outcome": "rolled_back"} in rows

    again = cli("rollback", NAME)
    assert again.out.startswith("back: version 2 rolled back by tests (identity not verified); champion: version 1\n")
    assert (three.alias(NAME), marked(three)) == (1, [2, 3])

    nothing = cli("rollback", NAME)
    assert nothing.code == 2
    assert "no earlier champion than version 1 to go back to; rolled back before: 2, 3" in nothing.err
    assert three.alias(NAME) == 1


def test_a_rollback_is_taken_back_and_marks_nobody(three: World, cli: Cli) -> None:
    assert cli("rollback", NAME, "--to", "3", "--reason", "it was the network").code == 0
    assert (three.alias(NAME), marked(three)) == (3, [2])
    assert "perennial.rolled_back" not in tags(three, NAME, 3)
    assert cli("rollback", NAME).code == 0, "2 is passed over: it was rolled back itself"
    assert (three.alias(NAME), marked(three)) == (1, [2, 3])
    assert cli("rollback", NAME, "--to", "2").code == 0
    assert (three.alias(NAME), marked(three)) == (2, [3])


def test_it_works_from_the_form_and_makes_a_page(three: World) -> None:
    state: Any = rollback_flow(NAME, None, "from the form", return_state=True)
    assert (state.name, state.is_completed()) == ("Rolled back", True)
    back = state.result()
    assert isinstance(back, Rollback)
    assert (back.version, back.champion, back.by) == (2, 1, "Prefect UI")
    told = page("back-rollback")
    assert "# back: version 2 rolled back" in told
    assert "- Why: from the form" in told
    failed: Any = rollback_flow(NAME, return_state=True)
    assert (failed.is_failed(), three.alias(NAME)) == (True, 1)
    assert "no earlier champion than version 1" in str(failed.message)


def test_a_rollback_that_was_killed_is_ended_once(three: World, cli: Cli) -> None:
    assert cli("rollback", NAME, "--to", "3").code == 0
    assert cli("rollback", NAME, "--to", "2").code == 0
    assert (three.alias(NAME), marked(three)) == (2, [3])
    for name in ("set_champion", "tag_rolled_back"):
        assert cli("rollback", NAME, "--to", "3").code == 0
        real = getattr(Tracking, name)
        with pytest.MonkeyPatch.context() as patch:

            def end(*args: Any, real: Any = real) -> None:
                real(*args)
                raise KeyboardInterrupt

            patch.setattr(Tracking, name, end)
            assert cli("rollback", NAME, "--to", "1").code != 0
        assert undeployed(three.config(NAME), three.settings), "the sweep sees it"
        if name == "tag_rolled_back":
            deploy(NAME)
        else:  # the same command, given again, goes no further back
            told = cli("rollback", NAME, "--json").json()
            assert (told["version"], told["champion"], told["healed"]) == (3, 1, True)
        assert (three.alias(NAME), marked(three)) == (1, [3])
        assert undeployed(three.config(NAME), three.settings) == []
        assert Audit(three.settings).open_intents(NAME, ROLLBACK) == []


def test_a_version_that_is_rolled_out_is_stopped_and_the_champion_stays(three: World, cli: Cli) -> None:
    three.pipeline(NAME, {**NEVER_RETRAIN, **SHOWN})
    champion = three.alias(NAME)
    one = begun(three, NAME)
    refused = cli("rollback", NAME, "--to", str(one.version))
    assert refused.code == 2
    assert "is being rolled out" in refused.err
    said = cli("rollback", NAME, "--reason", "complaints")
    assert f"back: rollout of version {one.version} stopped by tests" in said.out
    assert three.alias(NAME) == champion
    tracking = Tracking(three.settings, NAME)
    assert tracking.exposed() is None
    assert one.version in marked(three)
    assert ended(three, one.version, NAME) == ("rolled_back", "stopped by tests: complaints")
    assert events(three, NAME)[-1] == ("model.rolled_back", one.version)
    assert rollouts.active(Audit(three.settings), NAME) is None
    assert cli("rollback", NAME, "--to", str(one.version), "--reason", "they were mistaken").code == 0
    assert three.alias(NAME) == one.version
    assert one.version not in marked(three)


def test_no_server_and_no_prefect_is_needed(three: World) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    words = [sys.executable, "-c", SHOW, "rollback", NAME, "--reason", "quick"]
    found = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    first, second, third = found.stdout.splitlines()
    assert first.startswith("back: version ")
    assert "kept and sent later" in second
    assert third == "0"
