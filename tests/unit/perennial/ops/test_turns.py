"""Turns: one run of a key at a time, in order; a run equal to one that waits is skipped, and none is forgotten."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from perennial.ops.turns import Turns

KEY = ("ingest", "trips")


def test_one_runs_one_equal_one_waits_and_a_third_is_skipped() -> None:
    turns = Turns()
    first, second = turns.request(KEY, "all"), turns.request(KEY, "all")
    assert first is not None
    assert second is not None
    assert (first.is_set(), second.is_set(), turns.request(KEY, "all")) == (True, False, None)
    other = turns.request(KEY, "from training")
    assert other is not None
    assert not other.is_set()
    elsewhere = turns.request(("ingest", "rides"), "all")
    assert elsewhere is not None
    assert elsewhere.is_set(), "another pipeline does not wait"
    turns.release(KEY, first)
    assert (second.is_set(), other.is_set()) == (True, False)
    turns.release(KEY, other)  # cancelled while it waited
    turns.release(KEY, second)
    again = turns.request(KEY, "all")
    assert again is not None
    assert again.is_set()


@given(st.lists(st.tuples(st.sampled_from(["request", "release", "cancel"]), st.integers(0, 3))))
def test_never_two_at_once_and_whatever_waits_gets_its_turn(steps: list[tuple[str, int]]) -> None:
    turns = Turns()
    alive: list[tuple[int, asyncio.Event]] = []
    for action, content in steps:
        begun = [entry for entry in alive if entry[1].is_set()]
        waiting = [entry for entry in alive if not entry[1].is_set()]
        if action == "request":
            turn = turns.request(KEY, content)
            assert (turn is None) == any(content == other for other, _ in waiting)
            alive += [(content, turn)] if turn is not None else []
        elif action == "release" and begun:
            turns.release(KEY, begun[0][1])
            alive.remove(begun[0])
            assert not waiting or waiting[0][1].is_set(), "in the order in which they came"
        elif action == "cancel" and waiting:
            turns.release(KEY, waiting[-1][1])
            alive.remove(waiting[-1])
        assert sum(turn.is_set() for _, turn in alive) == min(1, len(alive))
