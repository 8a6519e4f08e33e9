"""Threads of BLAS and OpenMP: as many as were asked for, and as before afterwards."""

import numpy as np
import pytest
import sklearn.ensemble
from threadpoolctl import threadpool_info

from tasks.stores.threads import available_threads, limit_threads


def numbers() -> list[int]:
    assert sklearn.ensemble  # its OpenMP is loaded
    assert np.ones((2, 2)).dot(np.ones((2, 2))).sum() == 8
    return [one["num_threads"] for one in threadpool_info()]


@pytest.mark.parametrize("wanted", [1, 2, 5])
def test_every_library_has_the_number_inside_and_its_own_after(wanted: int) -> None:
    before = numbers()
    with limit_threads(wanted):
        assert numbers() == [wanted] * len(before)
    assert numbers() == before
    assert len(before) >= 2  # BLAS and OpenMP


@pytest.mark.parametrize(("told", "most", "expected"), [("1", 2, 1), ("8", 2, 2), ("8", 16, 8), ("3,2", 16, 3)])
def test_omp_num_threads_bounds_what_is_used(
    told: str, most: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert available_threads(most) == expected


@pytest.mark.parametrize("told", ["", "0", "many"])
def test_without_it_the_cores_do(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    assert (available_threads(2), available_threads(16)) == (2, 3)
