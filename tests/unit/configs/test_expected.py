"""Expectations that refer to the champion, as far as they are checked without Great Expectations."""

from __future__ import annotations

from typing import Any

import pytest

from configs.load import ConfigError
from tests.support.world import World

KL = "expect_column_kl_divergence_to_be_less_than"


def referring(column: str | None, **changes: Any) -> dict[str, Any]:
    arguments = {"threshold": 0.1} | ({"column": column} if column else {})
    return {"expectations": [{"type": KL, "arguments": arguments, "reference": "champion", **changes}]}


@pytest.mark.parametrize("column", ["x1", "kind", "y"])
def test_features_and_the_target_may_refer_to_the_champion(world: World, column: str) -> None:
    assert world.pipeline("mine", referring(column)).expectations[0].reference == "champion"


@pytest.mark.parametrize(
    ("changes", "where", "found"),
    [
        (referring("id"), "[0].arguments.column", "'id' with a reference; allowed: a feature or the target: x1, x2"),
        (referring("nope"), "[0].arguments.column", "'nope'; allowed: a column of contract.columns"),
        (referring("x1", type="expect_column_mean_to_be_between"), "[0].reference", "with a reference; allowed: " + KL),
        (referring("x1", arguments={"column": "x1"}), "[0].arguments", "no threshold; allowed: threshold"),
        (
            referring("x1", arguments={"column": "x1", "threshold": 1, "partition_object": {}}),
            "[0].arguments.partition_object",
            "a partition beside reference: champion; allowed: one of both",
        ),
        (
            {**referring("at"), "features": {"calendar": ["hour"]}},
            "[0].arguments.column",
            "'at' of type timestamp; allowed: another column: times always move",
        ),
    ],
    ids=["no feature", "unknown", "another type", "no threshold", "two partitions", "time"],
)
def test_a_reference_that_can_not_be(world: World, changes: dict[str, Any], where: str, found: str) -> None:
    with pytest.raises(ConfigError) as caught:
        world.pipeline("mine", changes)
    assert f"expectations{where}: found " in str(caught.value)
    assert found in str(caught.value)
