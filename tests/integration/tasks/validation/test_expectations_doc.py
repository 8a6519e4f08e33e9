"""docs/expectations.md has every expectation, says rightly how it is asked, and its examples work."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest
import yaml

from configs.base import ColumnType
from configs.contract import Expectation
from tasks.validation import gallery
from tasks.validation.expectations import invalid_expectations, prepare_expectations
from tests.support.world import ROOT

TYPES: dict[str, ColumnType] = {
    "x": "number",
    "n": "integer",
    "m": "integer",
    "kind": "string",
    "b": "boolean",
    "at": "timestamp",
}
STREAMED = "Asked row by row, in one streaming pass"
UNUSABLE = "What can't be used"


@cache
def rows() -> dict[str, tuple[str, str]]:
    """Section and second cell of each expectation's row."""
    found = {}
    for section in (ROOT / "docs" / "expectations.md").read_text(encoding="utf-8").split("\n## ")[1:]:
        title = section.partition("\n")[0]
        for name, cell in re.findall(r"^\| `(\w*expect\w*)` \| (.*) \|$", section, re.MULTILINE):
            assert name not in found, f"{name} stands twice"
            found[name] = (title, cell)
    return found


def usable() -> list[str]:
    return [name for name, (title, _) in rows().items() if title != UNUSABLE]


def example(name: str) -> Expectation:
    arguments: dict[str, Any] = yaml.safe_load(rows()[name][1].strip("`"))
    return Expectation(type=name, arguments=arguments)


def test_every_expectation_has_its_row() -> None:
    assert set(rows()) == set(gallery.names())
    assert len(rows()) > 50


@pytest.mark.parametrize("name", usable())
def test_the_example_can_be_asked(name: str) -> None:
    assert list(invalid_expectations([example(name)], TYPES)) == []


@pytest.mark.parametrize("name", usable())
def test_the_section_says_how_it_is_asked(name: str) -> None:
    (question,) = prepare_expectations([example(name)], TYPES)
    assert question.row_wise == (rows()[name][0] == STREAMED)


ARGUMENTS = {
    "expect_column_values_to_match_json_schema": {"column": "kind", "json_schema": {"type": "object"}},
    "expect_column_values_to_match_like_pattern": {"column": "kind", "like_pattern": "a%"},
    "expect_column_values_to_match_like_pattern_list": {"column": "kind", "like_pattern_list": ["a%"]},
    "expect_column_values_to_not_match_like_pattern": {"column": "kind", "like_pattern": "a%"},
    "expect_column_values_to_not_match_like_pattern_list": {"column": "kind", "like_pattern_list": ["a%"]},
    "expect_query_results_to_match_comparison": {
        "base_query": "SELECT 1",
        "comparison_query": "SELECT 1",
        "comparison_data_source_name": "other",
    },
    "expect_table_row_count_to_equal_other_table": {"other_table_name": "other"},
}


def test_what_can_not_be_used_is_refused() -> None:
    named = {name for name, (title, _) in rows().items() if title == UNUSABLE}
    assert named == {*ARGUMENTS, "unexpected_rows_expectation"}  # whose name no YAML takes
    asked = [Expectation.model_validate({"type": name, "arguments": told}) for name, told in ARGUMENTS.items()]
    assert [number for number, _ in invalid_expectations(asked, TYPES)] == list(range(len(asked)))
    with pytest.raises(ValueError, match="pattern"):
        Expectation(type="unexpected_rows_expectation")
