"""A pipeline that changes one thing at a time, and what its stages came to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.lifecycle.plan import Plan, plan
from tasks.stores.runtime import clock
from tasks.stores.state.manifests import Manifests
from tests.support.world import World, merged, trips

if TYPE_CHECKING:
    from tasks.records.report import LifecycleReport
    from tasks.records.stages import StageName

NAME = "stages"
RENEWED = ["features", "training", "evaluation", "release"]
DATA: dict[str, Any] = {"retrain": {"new_rows": 1, "on_drift": False, "on_degraded": False}}


class Story:
    """A pipeline that changes one thing at a time."""

    def __init__(self, world: World) -> None:
        self.world, self.number = world, 0
        self.changes: dict[str, Any] = dict(DATA)
        world.pipeline(NAME, self.changes)
        self.land()

    def land(self) -> None:
        self.number += 1
        self.world.land(NAME, f"{self.number}.csv", trips(self.number * 200, 200, seed=self.number))

    def change(self, what: dict[str, Any]) -> None:
        self.number += 1
        merged(self.changes, what)
        self.world.pipeline(NAME, self.changes)

    def plan(self) -> dict[str, str]:
        return {one.stage: one.action for one in self.planned().stages}

    def planned(self) -> Plan:
        return plan(self.world.config(NAME), self.world.settings, clock(None))

    def run(self) -> LifecycleReport:
        return self.world.run(NAME)


def begun(world: World) -> Story:
    """One whose first model is champion."""
    story = Story(world)
    assert story.run().outcome == "promoted"
    return story


def ran(report: LifecycleReport) -> list[str]:
    """Stages of the training that really ran."""
    return [one.name for one in report.stages if one.name in RENEWED and one.state == "done"]


CHANGES: dict[str, tuple[Callable[[Story], None], list[str]]] = {
    "nothing": (lambda _: None, []),
    "a description": (lambda one: one.change({"description": f"the {one.number}th"}), []),
    "how it is watched": (lambda one: one.change({"monitoring": {"min_rows": 50 + one.number}}), []),
    "how the lake is kept": (lambda one: one.change({"upkeep": {"keep_days": float(one.number)}}), []),
    "a bound": (
        lambda one: one.change({"evaluation": {"bounds": [{"metric": "mae", "maximum": 5.0 + one.number}]}}),
        ["evaluation", "release"],
    ),
    "a rule": (
        lambda one: one.change({"compliance": {"min_training_rows": 20 + one.number}}),
        ["evaluation", "release"],
    ),
    "a parameter": (
        lambda one: one.change({"training": {"parameters": {"alpha": 1.0 + one.number / 1000}}}),
        ["training", "evaluation", "release"],
    ),
    "a seed": (lambda one: one.change({"seed": one.number}), ["training", "evaluation", "release"]),
    "features": (
        lambda one: one.change(
            {"features": {"calendar": ["hour", "day"][one.number % 2 :], "scale": bool(one.number % 3)}}
        ),
        ["training", "evaluation", "release"],
    ),
    "a split": (
        lambda one: one.change({"split": {"holdout": 0.3 + one.number / 10_000}}),
        ["features", "training", "evaluation", "release"],
    ),
    "a batch": (lambda one: one.land(), ["features", "training", "evaluation", "release"]),
}


def outcome(story: Story) -> tuple[Any, ...]:
    """What the last stages came to: the model as an object, its training set, and the verdict on it."""
    from tasks.records.data import TrainingSetRef
    from tasks.records.decision import Verdict
    from tasks.records.model import ModelRef
    from tasks.stores.registry.models import MODEL_FILE, load

    manifests = Manifests(story.world.settings, NAME)
    found: dict[StageName, Any] = {"features": TrainingSetRef, "training": ModelRef, "evaluation": Verdict}
    made = {}
    for stage, kind in found.items():
        newest = manifests.newest(stage)
        assert newest is not None
        made[stage] = manifests.output(newest, kind)
    verdict = made["evaluation"]
    gates = [(gate.code, gate.outcome, gate.reason) for gate in verdict.gates]
    ridge = load(Path(made["training"].folder) / MODEL_FILE)[-1]
    model = (ridge.coef_.tobytes(), ridge.intercept_)
    return made["features"].digest, model, verdict.metrics, verdict.comparison, verdict.champion_version, gates


def clean(story: Story, kept: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same of a run in which every stage runs. Its candidate is never better than its like by the margin."""
    from tests.support.direct import lifecycle

    report = lifecycle(NAME, start_from="features", force=("features", "training", "evaluation"))
    assert ran(report) == ["features", "training", "evaluation", "release"]
    again = outcome(story)
    if again[4] != kept[4]:  # the champion is judged against the one before it; a new copy of it against the champion
        return (*again[:3], *kept[3:])
    return again


def check_change(story: Story, what: str) -> None:
    """Make a change: just the stages downstream of it run, and come to what a clean run comes to."""
    apply, stages = CHANGES[what]
    apply(story)
    planned = story.plan()
    if what == "a batch":  # what it brings is not known before
        assert planned.pop("ingestion") == "run"
        assert set(planned.values()) == {"depends"}
    else:
        assert [stage for stage, action in planned.items() if action == "run"] == stages
    report = story.run()
    assert ran(report) == stages
    assert story.planned().idle
    kept = outcome(story)
    assert clean(story, kept) == kept
