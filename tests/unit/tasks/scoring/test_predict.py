"""Pieces, and the look at rows that are to be scored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema import PipelineConfig
from tasks.errors import DataRejectedError
from tasks.scoring import predict
from tasks.stores.lake.schemas import ROW
from tasks.stores.lake.staging import UNREADABLE
from tests.support.world import World


@given(sizes=st.lists(st.integers(0, 30), max_size=12), rows=st.integers(1, 25))
def test_pieces_have_the_same_rows_however_they_are_stored(sizes: Sequence[int], rows: int) -> None:
    starts = np.concatenate([[0], np.cumsum(sizes)])
    batches = [
        pa.record_batch({"n": pa.array(np.arange(start, start + size))})
        for start, size in zip(starts, sizes, strict=False)
    ]
    found = list(predict.rebatch(batches, rows))
    assert [number for piece in found for number in piece.column("n").to_pylist()] == list(range(sum(sizes)))
    full, last = divmod(sum(sizes), rows)
    assert [piece.num_rows for piece in found] == [rows] * full + [last] * bool(last)


def batch(first: int, x1: Sequence[float | None], told: dict[int, str] | None = None) -> pa.RecordBatch:
    numbers = range(first, first + len(x1))
    return pa.record_batch(
        {
            "x1": pa.array(x1, pa.float64()),
            "x2": pa.nulls(len(x1), pa.float64()),
            ROW: pa.array(numbers, pa.int64()),
            UNREADABLE: pa.array([(told or {}).get(number) for number in numbers], pa.string()),
        }
    )


@pytest.fixture
def config(world: World) -> PipelineConfig:
    return world.pipeline("looked_at")


def test_rows_that_hold_pass(config: PipelineConfig) -> None:
    predict.check_rows([batch(1, [1.0, 2.0]), batch(3, [])], ["x1", "x2"], config)


def test_missing_cells_are_counted_over_all_batches_and_the_first_told(config: PipelineConfig) -> None:
    batches = [batch(1, [1.0, None]), batch(3, [None] * 6)]
    with pytest.raises(DataRejectedError, match=r"'x1' is missing in 7 rows \(first: 2, 3, 4, 5, 6\)"):
        predict.check_rows(batches, ["x1", "x2"], config)


def test_unreadable_cells_are_counted_over_all_batches_and_the_first_told(config: PipelineConfig) -> None:
    batches = [batch(1, [1.0] * 3, {3: '{"x1": "much"}'}), batch(4, [1.0] * 3, {4: '{"x1": "more"}'})]
    with pytest.raises(DataRejectedError, match=r'2 rows .*row 3: {"x1": "much"}; row 4: {"x1": "more"}'):
        predict.check_rows(batches, ["x1", "x2"], config)


def test_a_long_one_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "PIECE_ROWS", 3)
    monkeypatch.setattr(predict, "_REPORT_SECONDS", 0.0)
    told: list[str] = []
    stream = predict.score_stream(lambda: iter([batch(1, [0.0] * 7)]), lambda rows: rows.select(["x1"]), told.append)
    for _ in range(2):  # a commit that is tried again begins anew
        assert sum(one.num_rows for one in stream.batches()) == 7
    assert told == [f"{rows} rows scored" for rows in (3, 6, 7)] * 2
