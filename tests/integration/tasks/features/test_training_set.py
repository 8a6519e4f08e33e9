"""Observations and labels become training rows: joined by key, in one order, both sides filled."""

from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema import PipelineConfig
from tasks.errors import DataRejectedError
from tasks.features.training_set import TARGET, assemble, needed_columns, with_targets
from tasks.stores.lake.schemas import ROW_ID, SEQ, TIMESTAMP

BASE: dict[str, Any] = {
    "name": "demand",
    "description": "x",
    "task": "regression",
    "source": {"landing": "demand"},
    "contract": {
        "target": "y",
        "key": ("id",),
        "event_time": "at",
        "columns": {
            "id": {"type": "integer"},
            "at": {"type": "timestamp"},
            "place": {"type": "string"},
            "x": {"type": "number"},
            "y": {"type": "number", "nullable": True},
        },
    },
    "features": {"numeric": ("x",)},
    "split": {"kind": "time", "holdout": 0.25},
    "training": {"estimator": "sklearn.linear_model.Ridge"},
    "evaluation": {"primary": "mae"},
}


def config(**changes: Any) -> PipelineConfig:
    return PipelineConfig.model_validate({**BASE, **changes})


LATER = config(labels={"landing": "labels"})
RANDOM = config(split={"kind": "random", "holdout": 0.5})
CLASSES: dict[str, Any] = {"task": "classification", "evaluation": {"primary": "log_loss"}}


def observed(rows: list[dict[str, Any]]) -> pa.Table:
    kinds = {"x": pa.float64(), "at": TIMESTAMP, "place": pa.string(), "y": pa.float64(), ROW_ID: pa.int64()}
    schema = pa.schema([*kinds.items(), (SEQ, pa.int64())])
    return pa.Table.from_pylist(rows, schema=schema)


def row(number: int, **changes: Any) -> dict[str, Any]:
    base = {"x": float(number), "at": number * 1_000_000, "place": f"p{number % 7}", "y": number / 2}
    return {**base, ROW_ID: number, SEQ: 1, **changes}


def labelled(rows: Sequence[tuple[int, int, float | None]]) -> pa.Table:
    ids, sequences, values = (list(one) for one in zip(*rows, strict=True)) if rows else ([], [], [])
    return pa.table(
        {ROW_ID: pa.array(ids, pa.int64()), SEQ: pa.array(sequences, pa.int64()), "y": pa.array(values, pa.float64())}
    )


def known(table: pa.Table) -> dict[int, tuple[float, int]]:
    """By row id: the target and the sequence number."""
    columns = (table.column(name).to_pylist() for name in (ROW_ID, TARGET, SEQ))
    return {row_id: (target, seq) for row_id, target, seq in zip(*columns, strict=True)}


def test_needed_columns_are_features_time_group_and_target() -> None:
    assert needed_columns(config()) == ["x", "at", "y", ROW_ID, SEQ]
    assert needed_columns(LATER) == ["x", "at", ROW_ID, SEQ]
    grouped = config(split={"kind": "group", "column": "place"})
    assert needed_columns(grouped) == ["x", "at", "place", "y", ROW_ID, SEQ]


def test_labels_are_joined_by_key() -> None:
    observations = observed([row(number) for number in (5, 1, 3)]).drop_columns(["y"])
    joined = with_targets(observations, labelled([(3, 2, 0.3), (4, 2, 0.4), (5, 2, 0.5)]), "y")
    assert known(joined) == {5: (0.5, 2), 3: (0.3, 2)}
    assert joined.column("x").to_pylist() == [5.0, 3.0]


def test_a_new_label_wins() -> None:
    observations = observed([row(1), row(2)]).drop_columns(["y"])
    labels = labelled([(1, 7, 0.7), (2, 3, 0.2), (1, 9, 0.9), (1, 8, 0.8)])
    assert known(with_targets(observations, labels, "y")) == {1: (0.9, 9), 2: (0.2, 3)}


def test_a_missing_label_is_no_label() -> None:
    observations = observed([row(1), row(2)]).drop_columns(["y"])
    labels = labelled([(1, 2, 0.1), (1, 3, None), (2, 3, None)])
    assert known(with_targets(observations, labels, "y")) == {1: (0.1, 2)}
    assert with_targets(observations, labelled([]), "y").num_rows == 0


def test_the_later_of_row_and_label_counts() -> None:
    observations = observed([row(1, **{SEQ: 5}), row(2, **{SEQ: 2})]).drop_columns(["y"])
    assert known(with_targets(observations, labelled([(1, 3, 0.1), (2, 4, 0.2)]), "y")) == {1: (0.1, 5), 2: (0.2, 4)}


def test_a_target_beside_the_row_is_taken_where_it_is() -> None:
    joined = with_targets(observed([row(1), row(2, y=None), row(3)]), None, "y")
    assert known(joined) == {1: (0.5, 1), 3: (1.5, 1)}
    assert "y" not in joined.column_names


ids = st.integers(-(2**63), 2**63 - 1)


@given(
    st.lists(ids, unique=True, max_size=20),
    st.lists(st.tuples(st.integers(0, 25), st.integers(1, 9), st.one_of(st.none(), st.floats(0, 1))), max_size=40),
    st.randoms(use_true_random=False),
)
def test_labels_join_as_a_dictionary_would(
    keys: list[int], told: list[tuple[int, int, float | None]], random: Random
) -> None:
    observations = observed([row(0, **{ROW_ID: key}) for key in keys]).drop_columns(["y"])
    found = {(keys[place], seq): value for place, seq, value in told if place < len(keys)}
    labels = [(key, seq, value) for (key, seq), value in found.items()]
    expected: dict[int, tuple[float, int]] = {}
    for key, seq, value in sorted(labels, key=lambda one: one[1]):
        if value is not None:
            expected[key] = (value, seq)
    assert known(with_targets(observations, labelled(random.sample(labels, len(labels))), "y")) == expected


def shuffled(rows: list[dict[str, Any]], seed: int) -> pa.Table:
    return observed(Random(seed).sample(rows, len(rows)))  # noqa: S311  # an order, no secret


@pytest.mark.parametrize("made", [config(), RANDOM], ids=["time", "random"])
def test_the_order_of_input_does_not_matter(made: PipelineConfig) -> None:
    rows = [row(number, **{ROW_ID: 1000 - number, "at": number // 4 * 1_000_000}) for number in range(60)]
    first = assemble(made, observed(rows), None)
    for seed in range(5):
        again = assemble(made, shuffled(rows, seed), None)
        assert again.train.equals(first.train)
        assert again.holdout.equals(first.holdout)
        assert again.split == first.split


def test_rows_are_sorted_by_event_time_and_row_id() -> None:
    made = assemble(config(), shuffled([row(n, **{ROW_ID: -n, "at": n // 5}) for n in range(80)], 3), None)
    for side in (made.train, made.holdout):
        pairs = list(zip(side.column("at").cast(pa.int64()).to_pylist(), side.column(ROW_ID).to_pylist(), strict=True))
        assert pairs == sorted(pairs)
    assert made.train.num_rows + made.holdout.num_rows == 80


def test_rows_in_order_of_time_alone_are_sorted_too() -> None:
    made = assemble(config(), observed([row(n, **{ROW_ID: -n, "at": n // 2}) for n in range(40)]), None)
    assert made.train.column(ROW_ID).to_pylist()[:4] == [-1, 0, -3, -2]


def test_without_event_time_rows_are_sorted_by_row_id() -> None:
    contract = {**BASE["contract"], "event_time": None}
    made = assemble(
        config(contract=contract, split={"kind": "random", "holdout": 0.5}),
        shuffled([row(number) for number in range(50)], 1).drop_columns(["at"]),
        None,
    )
    for side in (made.train, made.holdout):
        assert side.column(ROW_ID).to_pylist() == sorted(side.column(ROW_ID).to_pylist())


def test_the_newest_rows_are_the_holdout() -> None:
    made = assemble(config(), shuffled([row(number) for number in range(100)], 2), None)
    assert made.train.column(ROW_ID).to_pylist() == list(range(75))
    assert made.holdout.column(ROW_ID).to_pylist() == list(range(75, 100))
    assert made.split.boundary_us == 75_000_000


def test_a_group_stands_on_one_side() -> None:
    made = assemble(
        config(split={"kind": "group", "column": "place", "holdout": 0.5}), observed([row(n) for n in range(70)]), None
    )
    places = [set(side.column("place").to_pylist()) for side in (made.train, made.holdout)]
    assert places[0] | places[1] == {f"p{number}" for number in range(7)}
    assert places[0].isdisjoint(places[1])


def test_a_row_held_out_stays_held_out_as_data_grow() -> None:
    spread = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 400).tolist()
    rows = [row(number, **{ROW_ID: key}) for number, key in enumerate(spread)]
    small, large = (assemble(RANDOM, observed(one), None) for one in (rows[:200], rows))
    before, after = (set(one.holdout.column(ROW_ID).to_pylist()) for one in (small, large))
    assert before == after & set(spread[:200])


def test_without_a_key_a_row_that_is_delivered_again_stays_on_its_side() -> None:
    keyless = config(split={"kind": "random", "holdout": 0.5}, contract={**BASE["contract"], "key": ()})
    first = [row(number) for number in range(200)]
    second = [row(number, **{ROW_ID: 1_000 + number, SEQ: 2}) for number in range(300)]  # all of it, and a hundred more
    made = assemble(keyless, observed([*first, *second]), None)
    sides = [{(one["x"], one["at"], one[TARGET]) for one in side.to_pylist()} for side in (made.train, made.holdout)]
    assert not sides[0] & sides[1]
    assert 100 < len(sides[1]) < 200
    assert set(made.split.content) == {"x", "at", TARGET}
    assert assemble(RANDOM, observed(first), None).split.content == (), "rows with a key go by it"


def test_no_row_is_lost_or_doubled() -> None:
    observations = observed([row(number) for number in range(60)]).drop_columns(["y"])
    labels = labelled(
        [(number, 2, 0.5) for number in range(0, 60, 2)] + [(number, 3, 1.5) for number in range(0, 60, 4)]
    )
    made = assemble(LATER, observations, labels)
    found = made.train.column(ROW_ID).to_pylist() + made.holdout.column(ROW_ID).to_pylist()
    assert sorted(found) == list(range(0, 60, 2))


def test_no_label_at_all_is_rejected_data() -> None:
    with pytest.raises(DataRejectedError, match="none of 2 observations has a target in its column 'y'"):
        assemble(config(), observed([row(1, y=None), row(2, y=None)]), None)
    with pytest.raises(DataRejectedError, match="none of 1 observations has a target in its label files"):
        assemble(LATER, observed([row(1)]).drop_columns(["y"]), labelled([(9, 1, 1.0)]))


@pytest.mark.parametrize(
    ("made", "rows", "told"),
    [
        (config(), [row(1)], "left 0 training and 1 holdout rows"),
        (config(), [row(n, at=5) for n in range(9)], "left 0 training and 9 holdout rows"),
        (
            config(split={"kind": "random", "holdout": 1e-9}),
            [row(n) for n in range(9)],
            "left 9 training and 0 holdout",
        ),
    ],
    ids=["one row", "one time", "a tiny share"],
)
def test_an_empty_side_is_rejected_data(made: PipelineConfig, rows: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(DataRejectedError, match=told):
        assemble(made, observed(rows), None)


def test_one_class_is_rejected_data() -> None:
    made = config(**CLASSES)
    with pytest.raises(DataRejectedError, match=r"the target 'y' has one class, 1.0, in all 75 training rows"):
        assemble(made, observed([row(number, y=1.0 if number < 75 else 0.0) for number in range(100)]), None)
    two = assemble(made, observed([row(number, y=float(number % 2)) for number in range(100)]), None)
    assert two.train.num_rows == 75
    one_value = assemble(config(), observed([row(number, y=1.0) for number in range(100)]), None)
    assert one_value.train.num_rows == 75


def test_the_input_is_left_alone() -> None:
    observations = shuffled([row(number) for number in range(30)], 4)
    before = pa.Table.from_pylist(observations.to_pylist(), schema=observations.schema)
    assemble(config(), observations, None)
    assert observations.equals(before)
