"""A row once held out by hash is held out for ever; what a model trained on is never called unseen."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema import GroupSplit, RandomSplit, TimeSplit
from tasks.features.split import holdout_mask, resolve_split, unseen_mask
from tasks.records.data import SplitRecord
from tasks.stores.files.hashing import row_hash

Ints = npt.NDArray[np.int64]
int64s = st.integers(-(2**63), 2**63 - 1)
hash_lists = st.lists(int64s, min_size=1, max_size=50)
shares = st.floats(0.01, 0.99)
time_lists = st.lists(st.integers(-(10**15), 2 * 10**15), min_size=1, max_size=60)


def array(values: list[int]) -> Ints:
    return np.array(values, dtype=np.int64)


def by_hash(share: float, kind: Any = "random") -> SplitRecord:
    return SplitRecord(kind=kind, holdout=share, column="g" if kind == "group" else None)


def test_the_rule_is_made_definite() -> None:
    assert resolve_split(RandomSplit(kind="random", holdout=0.3), None) == SplitRecord(kind="random", holdout=0.3)
    group = resolve_split(GroupSplit(kind="group", column="route", holdout=0.1), None)
    assert group == SplitRecord(kind="group", holdout=0.1, column="route")
    timed = resolve_split(TimeSplit(kind="time", holdout=0.25), array([40, 10, 30, 20]))
    assert timed == SplitRecord(kind="time", holdout=0.25, boundary_us=40)


@given(hash_lists, hash_lists, shares)
def test_a_row_keeps_its_side_when_others_come(old: list[int], new: list[int], share: float) -> None:
    before = holdout_mask(by_hash(share), None, array(old))
    after = holdout_mask(by_hash(share), None, array([*new, *old]))
    assert after[len(new) :].tolist() == before.tolist()


@given(hash_lists, shares, shares)
def test_a_row_held_out_stays_so_for_a_larger_share(values: list[int], one: float, other: float) -> None:
    small = holdout_mask(by_hash(min(one, other)), None, array(values))
    large = holdout_mask(by_hash(max(one, other)), None, array(values))
    assert not (small & ~large).any()


@given(st.lists(st.text(max_size=3), min_size=1, max_size=30), shares)
def test_a_group_is_on_one_side(groups: list[str], share: float) -> None:
    hashes = row_hash(pa.table({"g": pa.array(groups, pa.string())}), ["g"])
    mask = holdout_mask(by_hash(share, "group"), None, hashes)
    for name in set(groups):
        assert len({bool(mask[index]) for index, one in enumerate(groups) if one == name}) == 1


def test_groups_of_integers_keep_their_side_when_one_is_missing() -> None:
    split = by_hash(0.5, "group")
    known = pa.table({"g": pa.array(range(100), pa.int64())})
    longer = pa.table({"g": pa.array([*range(100), None], pa.int64())})
    before = holdout_mask(split, None, row_hash(known, ["g"]))
    after = holdout_mask(split, None, row_hash(longer, ["g"]))
    assert after[:100].tolist() == before.tolist()


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_the_share_is_about_what_was_asked(share: float) -> None:
    hashes = row_hash(pa.table({"id": np.arange(50_000)}), ["id"])
    assert abs(holdout_mask(by_hash(share), None, hashes).mean() - share) < 0.01


def test_sides_are_as_they_always_were() -> None:
    hashes = row_hash(pa.table({"id": np.arange(20)}), ["id"])
    assert np.flatnonzero(holdout_mask(by_hash(0.3), None, hashes)).tolist() == [0, 1, 9, 11, 16]


@given(time_lists, shares)
def test_the_newest_are_held_out(values: list[int], share: float) -> None:
    times = array(values)
    record = resolve_split(TimeSplit(kind="time", holdout=share), times)
    mask = holdout_mask(record, times, None)
    assert record.boundary_us in values
    assert mask.any()
    if not mask.all():
        assert times[~mask].max() < times[mask].min()


@given(st.lists(st.integers(0, 10**15), min_size=2, max_size=200, unique=True), shares)
def test_a_time_split_holds_out_its_share_of_distinct_times(values: list[int], share: float) -> None:
    times = array(values)
    mask = holdout_mask(resolve_split(TimeSplit(kind="time", holdout=share), times), times, None)
    assert abs(int(mask.sum()) - share * len(values)) <= 1


def test_equal_times_stand_on_one_side() -> None:
    times = array([1, 2, 2, 2, 2, 2, 3])
    record = resolve_split(TimeSplit(kind="time", holdout=0.5), times)
    assert holdout_mask(record, times, None).tolist() == [False, True, True, True, True, True, True]


@given(time_lists, shares, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_move_the_boundary(values: list[int], share: float, random: Any) -> None:
    split = TimeSplit(kind="time", holdout=share)
    shuffled = random.sample(values, len(values))
    assert resolve_split(split, array(values)) == resolve_split(split, array(shuffled))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: resolve_split(TimeSplit(kind="time"), None), "needs event times"),
        (lambda: resolve_split(TimeSplit(kind="time"), array([])), "needs event times"),
        (lambda: holdout_mask(by_hash(0.5), array([1]), None), "random split needs hashes"),
        (lambda: holdout_mask(by_hash(0.5, "group"), array([1]), None), "group split needs hashes"),
        (lambda: holdout_mask(by_hash(0.5, "time"), array([1]), None), "a boundary"),
    ],
)
def test_what_a_rule_lacks_is_told(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


worlds = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 100), int64s), min_size=1, max_size=60)
kinds = st.sampled_from(["time", "random", "group"])


@given(worlds, kinds, shares, st.integers(1, 6), st.booleans(), st.booleans())
def test_what_a_model_trained_on_is_never_unseen(
    world: list[tuple[int, int, int]], kind: str, share: float, through: int, no_times: bool, no_hashes: bool
) -> None:
    """A world of rows by batch, event time and hash; the model saw the batches up to `through`."""
    sequences, times, hashes = (array([row[place] for row in world]) for place in range(3))
    saw = sequences <= through
    if kind == "time":
        if not saw.any():
            return
        record = resolve_split(TimeSplit(kind="time", holdout=share), times[saw])
    else:
        record = by_hash(share, kind)
    trained = saw & ~holdout_mask(record, times, hashes)
    unseen = unseen_mask(record, through, sequences, None if no_times else times, None if no_hashes else hashes)
    assert not (trained & unseen).any()
    assert unseen[~saw].all()
    lacks = no_times if kind == "time" else no_hashes
    if not lacks:
        assert (unseen == ~trained).all()
