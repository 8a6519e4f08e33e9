"""When a file is reported of: its clock is reported, nothing is slept for."""

from __future__ import annotations

import pytest

from tasks.ingestion.debounce import Debouncer

A, B = (10, 1), (20, 2)  # two stamps: size and time


@pytest.fixture
def files() -> Debouncer:
    return Debouncer(1.0, 0.2)


def test_a_file_settles_once_it_stayed_the_same_for_long_enough(files: Debouncer) -> None:
    assert not files.observe("f", A, 0.0)
    assert not files.observe("f", A, 0.9)
    assert files.stable() == {}
    assert files.observe("f", A, 1.0)
    assert files.stable() == {"f": A}


def test_a_change_begins_its_time_anew(files: Debouncer) -> None:
    files.observe("f", A, 0.0)
    files.observe("f", B, 0.9)
    assert not files.observe("f", B, 1.8)
    assert files.observe("f", B, 2.0)
    assert files.stable() == {"f": B}


def test_a_settled_file_that_changes_is_not_settled(files: Debouncer) -> None:
    files.observe("f", A, 0.0)
    files.observe("f", A, 1.0)
    files.observe("f", B, 1.1)
    assert files.stable() == {}


def test_one_that_looks_complete_settles_quickly_but_not_after_a_change(files: Debouncer) -> None:
    files.observe("f", A, 0.0, complete=True)
    assert files.observe("f", A, 0.2)
    files.observe("g", A, 0.0, complete=True)
    files.observe("g", B, 0.1, complete=True)
    assert not files.observe("g", B, 0.9)
    assert files.observe("g", B, 1.1)


def test_a_write_begins_its_time_anew_though_the_stamp_is_the_same(files: Debouncer) -> None:
    files.observe("f", A, 0.0, complete=True)
    files.restart("f", 0.1)
    assert not files.observe("f", A, 0.9)
    assert files.observe("f", A, 1.1)
    files.restart("unknown", 0.0)
    assert files.due(9.0) == []


def test_without_a_time_to_settle_the_first_look_is_enough() -> None:
    files = Debouncer(0.0, 0.2)
    assert files.observe("f", A, 0.0)


def test_files_are_due_for_another_look_when_their_time_is_over(files: Debouncer) -> None:
    files.observe("f", A, 0.0)
    files.observe("g", A, 0.5)
    assert files.due(0.9) == []
    assert files.due(1.0) == ["f"]
    files.observe("f", A, 1.0)
    assert files.due(1.1) == [], "it is settled"
    assert files.due(1.5) == ["g"]


def test_what_was_told_is_not_told_again_until_it_changes(files: Debouncer) -> None:
    files.observe("f", A, 0.0)
    files.observe("f", A, 1.0)
    files.mark_reported([("f", A)])
    assert files.stable() == {}
    assert not files.is_new("f", A)
    assert not files.observe("f", A, 5.0)
    assert files.due(9.0) == []
    assert files.is_new("f", B)
    files.observe("f", B, 10.0)
    assert files.observe("f", B, 11.0)


def test_what_changed_while_it_was_told_still_waits(files: Debouncer) -> None:
    files.observe("f", A, 0.0)
    files.observe("f", B, 1.0)
    files.mark_reported([("f", A)])
    assert files.due(2.0) == ["f"]


def test_a_file_that_is_gone_is_forgotten(files: Debouncer) -> None:
    files.observe("f", A, 0.0)
    files.mark_reported([("g", A)])
    files.retain({"h"})
    assert files.is_new("f", A)
    assert files.is_new("g", A)
    assert files.due(9.0) == []
