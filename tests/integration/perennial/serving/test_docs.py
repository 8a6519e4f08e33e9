"""The service's page: its settings are those that there are, its calls are ones that the shipped pipelines answer."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from configs.load import load
from perennial.serving.body import labels, read
from perennial.serving.fields import Field
from perennial.serving.settings import ServeSettings
from tests.support.world import ROOT

TEXT = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
CALLS = re.findall(r"curl [^']*'Content-Type: ([^']+)' \S+/pipelines/(\w+)/(\w+)[\s\\]*-d '([^']+)'", TEXT)


def test_the_table_has_every_setting_with_its_default() -> None:
    rows = re.findall(r"^\| `PERENNIAL_SERVE_(\w+)` \| ([^|]+) \| [^|]+ \|$", TEXT, flags=re.MULTILINE)
    defaults = {name.upper(): told(one.default) for name, one in ServeSettings.model_fields.items()}
    assert dict(rows) == defaults
    assert len(rows) == len(defaults)


def told(default: Any) -> str:
    """A default as the table has it."""
    if default is None:
        return "–"
    return f"{default:.10g}" if isinstance(default, float) else str(default)


def test_settings_that_the_text_names_are_there() -> None:
    known = {f"PERENNIAL_SERVE_{name.upper()}" for name in ServeSettings.model_fields}
    assert set(re.findall(r"PERENNIAL_SERVE_\w+", TEXT)) == known


def test_every_shipped_pipeline_has_a_call() -> None:
    assert {name for _, name, _, _ in CALLS} == {"transit_delay", "bike_demand", "breast_cancer"}
    assert len(CALLS) == TEXT.count(" -d '")


@pytest.mark.parametrize(("kind", "name", "endpoint", "body"), CALLS, ids=lambda value: str(value)[:30])
def test_a_call_keeps_the_contract(kind: str, name: str, endpoint: str, body: str) -> None:
    config = load(name)
    contract = config.contract
    if endpoint == "feedback":
        rows = labels(kind, body.encode(), (*contract.key, contract.target), config.serving.max_rows)
        columns: dict[str, Any] = {column: [row[column] for row in rows] for column in rows[0]}
        assert columns.keys() == {*contract.key, contract.target}
    else:
        columns = {**read(kind, body.encode(), config.feature_columns, config.serving.max_rows).columns}
        assert set(config.feature_columns) <= columns.keys() <= {*config.feature_columns, *contract.key}
    for column, values in columns.items():
        _, wrong = Field(column, contract.columns[column], config.serving, contract.timezone).read(values)
        assert not wrong


def test_answers_shown_are_json() -> None:
    shown = re.findall(r"```json\n(.+?)```", TEXT, flags=re.DOTALL)
    assert [set(json.loads(one)) for one in shown] == [
        {"predictions", "model"},
        {"error_code", "message", "details", "problems"},
    ]


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
