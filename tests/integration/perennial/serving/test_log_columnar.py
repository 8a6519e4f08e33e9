"""Files read at once come out as files read value by value."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.schema import PipelineConfig
from perennial.serving.log.columnar import read_whole
from perennial.serving.log.lines import committed_rows_line, encode
from perennial.serving.log.prediction_record import PredictionRecord
from perennial.serving.log.rows import read
from tests.support.serving.log_world import answer
from tests.support.world import World, make_world

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
SHARES = st.floats(0.0, 1.0)
NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
CHANGES: dict[str, Any] = {
    "task": "classification",
    "contract": {
        "target": "label",
        "columns": {"label": {"type": "string"}, "n": {"type": "integer"}, "b": {"type": "boolean", "nullable": True}},
    },
    "features": {"numeric": ["x1", "n"], "categorical": ["kind", "b"], "calendar": ["hour"]},
    "training": {"estimator": "sklearn.linear_model.LogisticRegression", "parameters": {}},
    "evaluation": {"primary": "log_loss"},
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> PipelineConfig:
    base = tmp_path_factory.mktemp("columnar")
    with pytest.MonkeyPatch.context() as patch:
        world: World = make_world(base / "home", base / "configs", patch)
        # The event time is named as a column of ours is not.
        columns = {**CHANGES["contract"]["columns"], "due": {"type": "timestamp"}}
        return world.pipeline(
            "served", {**CHANGES, "contract": {**CHANGES["contract"], "columns": columns, "event_time": "due"}}
        )


@st.composite
def answers(draw: st.DrawFn) -> PredictionRecord:
    rows = draw(st.integers(0, 4))

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=rows, max_size=rows))

    columns = {
        "id": column(st.integers(-(2**63), 2**63 - 1)),
        "x1": column(NUMBERS),
        "n": column(st.none() | st.integers(-(2**53), 2**53)),
        "b": column(st.none() | st.booleans()),
        "kind": column(st.none() | TEXTS),
        "due": column(st.none() | st.integers(-(10**15), 10**16)),
    }
    left = draw(st.sets(st.sampled_from(sorted(columns))))
    failed = draw(st.booleans())
    return answer(
        draw(TEXTS),
        list(range(rows)),
        columns={name: values for name, values in columns.items() if name not in left},
        predictions=None if failed else column(TEXTS),
        probabilities={name: column(SHARES) for name in draw(st.sets(st.sampled_from(string.ascii_lowercase[:3])))},
        error="it threw" if failed else "",
        version=draw(st.integers(1, 2**40)),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_answers=st.lists(answers() | st.none(), min_size=1, max_size=6))
def test_both_ways_of_reading_agree(
    given_answers: list[PredictionRecord | None], config: PipelineConfig, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(committed_rows_line(9) if one is None else encode(one, 9) for one in given_answers))
    slow = read(path, config)
    assert not slow.invalid
    whole = read_whole(path, config)
    assert whole.select(sorted(whole.column_names)).to_pylist() == _with(whole, slow.table)
    assert {name: whole.schema.field(name).type for name in slow.table.column_names} == {
        field.name: field.type for field in slow.table.schema
    }


def _with(whole: pa.Table, table: pa.Table) -> list[dict[str, Any]]:
    """Rows with the columns of the other, too: a class of which there is no row."""
    rows: list[dict[str, Any]] = table.to_pylist()
    return [{name: row.get(name) for name in sorted(whole.column_names)} for row in rows]


@pytest.mark.parametrize("wrong", [{"id": [1.5]}, {"id": ["1"]}, {"x1": [True]}, {"kind": [5]}, {"b": [1]}])
def test_what_does_not_fit_is_left_to_the_careful_way(
    wrong: dict[str, Any], config: PipelineConfig, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(encode(answer("a", [1], columns={"id": [1], **wrong}, predictions=["late"]), 1))
    with pytest.raises(pa.ArrowInvalid):
        read_whole(path, config)
    assert len(read(path, config).invalid) == 1


def test_where_arrow_would_lose_values_the_careful_way_is_taken(config: PipelineConfig, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    shares: dict[str, Any] = {"late": [None, 0.5]}
    path.write_bytes(encode(answer("a", [1, 2], predictions=["late"] * 2, probabilities=shares), 2))
    with pytest.raises(pa.ArrowInvalid):
        read_whole(path, config)
    assert read(path, config).table.column("probability_late").to_pylist() == [None, 0.5]
