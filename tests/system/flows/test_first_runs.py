"""Runs at once on an empty home: all end well, and what they made is what one run makes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.first_runs import repeat

pytestmark = pytest.mark.timeout(1200)


def test_eight_runs_of_one_pipeline_train_one_version(tmp_path: Path) -> None:
    found = repeat(tmp_path, runs=8, pipelines=1)
    assert (found.failures, found.faults) == ((), ())
    assert found.outcomes == Counter(promoted=1, nothing_to_do=7)


def test_runs_of_two_pipelines_of_which_one_is_killed(tmp_path: Path) -> None:
    """The killed one may have come as far as any: neither those beside it nor the next one wait or fail."""
    found = repeat(tmp_path, runs=4, pipelines=2, kill_after=8.0)
    assert (found.failures, found.faults) == ((), ())
    assert sum(found.outcomes.values()) == 4
