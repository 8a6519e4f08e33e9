"""A version that misbehaves once it is served is moved back by itself, and no caller notices; a sound one is promoted.

The real service under load, the real flows, a real Prefect server.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from flows.deploy import deploy
from flows.rollout import RolloutReport
from flows.rollout import rollout as rollout_flow
from flows.train import train
from tasks.records.decision import Promotion
from tasks.stores.registry.tracking import Tracking
from tasks.stores.state import candidates, rollouts
from tasks.stores.state.audit import Audit
from tests.support.command import Cli
from tests.support.rollouts import another, ended, events, page, tags
from tests.support.serving.load import Callers, Told, calling
from tests.support.serving.models import SETTING
from tests.support.serving.running import Running, serving
from tests.support.world import NEVER_RETRAIN, World, trips

NAME = "moods"
SHARE, GRACE = 0.3, 2.0
CANARY: dict[str, Any] = {"kind": "canary", "share": SHARE, "requests": 60}
SHADOW: dict[str, Any] = {"kind": "shadow", "requests": 60}
KEYS = 1500
# In the order in which they are trained, and so rolled out.
MOODS = ("throws", "slow", "nonsense", "nan", "stuck", "unlike", "sound")


def yaml(world: World, mood: str, *steps: dict[str, Any]) -> None:
    """The pipeline with an estimator of a mood."""
    training = {
        "estimator": "tests.support.serving.models.Moody",
        "parameters": {"mood": mood},
        "trusted_types": ["tests.support.serving.models.Moody"],
    }
    world.pipeline(
        NAME,
        {
            **NEVER_RETRAIN,
            "training": training,
            "evaluation": {"comparison": {"mode": "non_inferiority"}},
            "rollout": {"steps": [*steps], "look_seconds": 0.5},
        },
    )


@dataclass(frozen=True)
class Moods:
    """A champion, and versions that passed against it: where they are judged, they are sound."""

    world: World
    file: Path

    def be(self, mood: str) -> None:
        """How whatever is challenger behaves in the service from now on."""
        draft = self.file.with_suffix(".part")
        draft.write_text(mood, encoding="utf-8")
        draft.replace(self.file)


@pytest.fixture(scope="module")
def moods(module_world: World, tmp_path_factory: pytest.TempPathFactory) -> Moods:
    """The champion, and a candidate for each mood, all of which wait."""
    yaml(module_world, "sound", CANARY)
    module_world.land(NAME, "a.csv", trips(0, 400, seed=1))
    assert module_world.run(NAME).outcome == "promoted"
    yaml(module_world, "told", CANARY)
    train(NAME)
    for _ in MOODS[1:]:
        another(module_world, NAME)
    waiting = candidates.waiting(Audit(module_world.settings), NAME)
    assert [one.verdict.passed for _, one in waiting] == [True] * len(MOODS)
    return Moods(module_world, tmp_path_factory.mktemp("moods") / "mood")


@pytest.fixture(scope="module")
def service(moods: Moods, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The service in which they misbehave."""
    log: Path = tmp_path_factory.mktemp("log") / "serving.log"
    moods.be("sound")
    environment = {
        SETTING: str(moods.file),
        "PERENNIAL_SERVE_LOG_HURRY_SECONDS": "0.5",
        "PERENNIAL_SERVE_CANARY_SECONDS": "0.3",
    }
    with serving(moods.world.home, moods.world.configs, log, environment=environment) as found:
        yield found


@pytest.fixture(scope="module")
def callers(service: Running) -> Iterator[Callers]:
    """Callers that never stop asking."""
    with calling(service.url, NAME, keys=KEYS) as found:
        yield found


def rolled_out(version: int) -> RolloutReport:
    """The next candidate's rollout, from its deployment to its end."""
    begun = cast("Promotion", deploy(NAME))
    assert (begun.outcome, begun.version) == ("rolling_out", version)
    return cast("RolloutReport", rollout_flow(NAME))


def share_of(told: list[Told], version: int) -> tuple[int, int]:
    """Keys that a version answered, and keys asked."""
    return len({one.key for one in told if one.version == version}), len({one.key for one in told})


@pytest.mark.parametrize(
    ("mood", "reason", "answers"),
    [
        ("throws", "errors: ", False),
        ("slow", "latency: ", True),
        ("nonsense", "predictions: ", True),
        ("nan", "errors: ", False),
        ("stuck", "errors: ", False),
        ("unlike", "errors: the service refused it: ", False),
    ],
)
def test_one_that_misbehaves_is_moved_back_by_itself(
    moods: Moods, service: Running, callers: Callers, cli: Cli, mood: str, reason: str, answers: bool
) -> None:
    version = MOODS.index(mood) + 2
    moods.be(mood)
    began = time.monotonic()
    found = rolled_out(version)
    over = time.monotonic()
    assert (found.outcome, found.version, found.champion) == ("rolled_back", version, 1)
    assert found.reasons[0].startswith(reason), found.reasons
    service.wait(NAME, GRACE, champion=1, challenger=None)
    hidden = time.monotonic()
    assert hidden - over < GRACE
    time.sleep(0.4)
    during, after = callers.since(began, hidden), callers.since(hidden)
    assert callers.failed == []
    assert after
    assert {one.version for one in after} == {1}, "nobody is answered by it any more"
    mine, asked = share_of(during, version)
    assert (mine > 0) is answers
    assert mine <= asked * SHARE + 4.0 * math.sqrt(asked * SHARE * (1.0 - SHARE))
    assert {one.role for one in during if one.version == version} <= {"canary"}
    assert all(abs(one.prediction) < 100.0 for one in during if one.version == 1)

    assert moods.world.alias(NAME) == 1
    assert Tracking(moods.world.settings, NAME).exposed() is None
    assert ended(moods.world, version, NAME) == ("rolled_back", "; ".join(found.reasons))
    assert tags(moods.world, NAME, version)["perennial.rolled_back"] == "; ".join(found.reasons)
    assert ("model.rolled_back", version) in events(moods.world, NAME)
    told = page("moods-rollout")
    assert "# moods: rolled back" in told
    assert reason.partition(": ")[0] in told
    status = cli("status", NAME, "--json").json()
    assert status["rollouts"][-1]["reasons"] == [*found.reasons]
    assert status["rolled_back"][str(version)].endswith("; ".join(found.reasons))
    assert f"version {version} was rolled back from its rollout on" in cli("status", NAME).out


def test_none_of_them_is_ever_promoted_by_itself(moods: Moods, callers: Callers) -> None:
    audit = Audit(moods.world.settings)
    assert sorted(rollouts.rolled_back(audit, NAME)) == [2, 3, 4, 5, 6, 7]
    waiting = [intent for intent, _ in candidates.waiting(audit, NAME)]
    assert len(waiting) == 1, "the sound one waits"
    (_, one, _, number) = candidates.evaluated(audit, NAME)[1]
    assert number == 2
    sound = candidates.waiting(audit, NAME)[0][0]
    anew = one.model_copy(update={"evaluation": "other gates"})
    assert candidates.submit(audit, anew, at=datetime.now(UTC), actor="trainer") is not None
    assert sound in [intent for intent, _ in candidates.waiting(audit, NAME)]
    assert callers.failed == []


def test_a_sound_one_becomes_champion_step_by_step(moods: Moods, service: Running, callers: Callers, cli: Cli) -> None:
    yaml(moods.world, "sound", SHADOW, CANARY)
    version = MOODS.index("sound") + 2
    moods.be("sound")
    began = time.monotonic()
    found = rolled_out(version)
    over = time.monotonic()
    assert (found.outcome, found.champion) == ("promoted", version), found.reasons
    service.wait(NAME, GRACE, champion=version, challenger=None)
    swapped = time.monotonic()
    assert swapped - over < GRACE
    time.sleep(0.4)
    assert callers.failed == []
    assert {one.version for one in callers.since(swapped)} == {version}
    during = callers.since(began, over)
    assert {(one.version, one.role) for one in during} >= {(1, "champion"), (version, "canary")}
    rollout = rollouts.history(Audit(moods.world.settings), NAME)[-1]
    canary = began + (rollout.moved[1].at - rollout.began).total_seconds()
    assert {one.version for one in callers.since(began, canary)} == {1}, "nobody is answered by a shadow"
    assert cli("status", NAME, "--json").json()["rollouts"][-1]["state"] == "promoted"

    again = cast("Promotion", deploy(NAME))
    assert (again.outcome, again.version) == ("kept_champion", 2)
    assert again.reasons[0].startswith("it was rolled back from its rollout on ")
    assert moods.world.alias(NAME) == version
