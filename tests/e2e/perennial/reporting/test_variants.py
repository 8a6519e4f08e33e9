"""What lies between two configurations: each change alone, and all of them together the newer one."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from configs.schema import PipelineConfig
from perennial.reporting.changes import variants
from tests.support.world import REGRESSION, merged

DECIDES = {"contract", "features", "split", "training", "seed"}
PAIRS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing": ({}, []),
    "what decides nothing": (
        {"description": "other", "compliance": {"min_training_rows": 7}, "cost": {"cpu_hour": 1}},
        [],
    ),
    "a gate": ({"evaluation": {"bounds": [{"metric": "mae", "maximum": 1.0}]}}, []),
    "a parameter": ({"training": {"parameters": {"alpha": 2.0}}}, ["training.parameters.alpha"]),
    "a parameter more": (
        {"training": {"parameters": {"alpha": 1.0, "positive": True}}},
        ["training.parameters.positive"],
    ),
    "a parameter less": ({"training": {"parameters": {}}}, ["training.parameters.alpha"]),
    "the estimator": (
        {"training": {"estimator": "sklearn.linear_model.Lasso", "parameters": {"alpha": 0.1}}},
        ["training.estimator and its parameters"],
    ),
    "features, split and seed": (
        {"features": {"numeric": ["x1"], "scale": True}, "split": {"kind": "random", "holdout": 0.2}, "seed": 4},
        ["split", "seed", "features.numeric", "features.scale"],
    ),
    "a new column": (
        {"contract": {"columns": {"x3": {"type": "number"}}}, "features": {"numeric": ["x1", "x2", "x3"]}},
        ["features.numeric"],
    ),
    "another type": ({"contract": {"columns": {"x1": {"type": "integer"}}}}, ["contract"]),
}

MORE = {"contract": {"columns": {"y2": {"type": "number"}}}}


def config(changes: dict[str, Any]) -> PipelineConfig:
    document = merged({**deepcopy(REGRESSION), "name": "p", "source": {"landing": "p"}}, changes)
    return PipelineConfig.model_validate_json(json.dumps(document))


@pytest.mark.parametrize(("changes", "names"), PAIRS.values(), ids=PAIRS)
def test_the_changes_that_decide_what_a_model_is_are_found(changes: dict[str, Any], names: list[str]) -> None:
    assert [step.name for step in variants.config_changes(config({}), config(changes))] == names


@pytest.mark.parametrize(("changes", "names"), PAIRS.values(), ids=PAIRS)
def test_all_changes_together_are_the_newer_configuration(changes: dict[str, Any], names: list[str]) -> None:
    before, now = config({}), config(changes)
    between = variants.base_config(before, now)
    for step in variants.config_changes(before, now):
        between = variants.apply_change(between, now, step)
    assert between.model_dump(include=DECIDES) == now.model_dump(include=DECIDES), names


@pytest.mark.parametrize(("changes", "names"), PAIRS.values(), ids=PAIRS)
def test_one_change_leaves_all_else_as_it_was(changes: dict[str, Any], names: list[str]) -> None:
    before, now = config({}), config(changes)
    start = variants.base_config(before, now)
    for step in variants.config_changes(before, now):
        again = variants.config_changes(start, variants.apply_change(start, now, step))
        assert [one.name for one in again] == [step.name], names


@pytest.mark.parametrize(
    ("numeric", "told"),
    [
        (["x2"], "features.numeric: without x1"),
        (["x1", "x2", "y2"], "features.numeric: with y2"),
        (["x2", "x1"], 'features.numeric: ["x1", "x2"] → ["x2", "x1"]'),
    ],
)
def test_of_a_list_is_told_what_came_and_went(numeric: list[str], told: str) -> None:
    (step,) = variants.config_changes(config({}), config({"features": {"numeric": numeric}, **MORE}))
    assert step.description == (told,)


def test_changes_that_are_not_valid_alone_are_told_and_tried_together() -> None:
    """A text can't be a numeric feature: neither the contract's change nor the features' goes alone."""
    before = config({})
    text = {"contract": {"columns": {"x1": {"type": "string", "minimum": None, "maximum": None}}}}
    now = config({**text, "features": {"numeric": ["x2"], "categorical": ["kind", "x1"]}})
    start, found = variants.base_config(before, now), variants.config_changes(before, now)
    assert [step.name for step in found] == ["features.categorical", "features.numeric", "contract"]
    with pytest.raises(ValueError, match=r"features.numeric.*x1"):
        variants.apply_change(start, now, found[2])
    both = variants.combined(found[1:])
    assert both.name == "features.numeric with contract"
    assert variants.apply_change(start, now, both).contract.columns["x1"].type == "string"
