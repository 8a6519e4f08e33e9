"""Distances between the predictions of two models for the same rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from tasks.records.decision import Interval

Floats = npt.NDArray[np.float64]
_ROUNDING, _MIN_UNIT = 1e-9, 1e-300
_Z = 1.959964  # of 95 %


def number_shift(challenger: Floats, champion: Floats) -> float:
    """Wasserstein distance in standard deviations of the champion's predictions, both of shape (n_rows,).

    If the champion's predictions are constant up to rounding, the unit is their absolute value, or 1 if that is 0.
    """
    return float(wasserstein_distance(challenger, champion)) / _unit(champion)


def _unit(champion: Floats) -> float:
    spread, size = float(np.std(champion)), float(np.max(np.abs(champion)))
    unit = spread if spread > _ROUNDING * size else size
    return unit if unit > _MIN_UNIT else 1.0


def class_shift(challenger: npt.NDArray[Any], champion: npt.NDArray[Any]) -> float:
    """Jensen-Shannon distance (base 2: from 0 to 1) of the class frequencies, both of shape (n_rows,)."""
    classes = sorted({*challenger.tolist(), *champion.tolist()}, key=str)
    shares = [[float(np.mean(np.equal(one, name))) for name in classes] for one in (challenger, champion)]
    distance = float(jensenshannon(*shares, base=2))
    return distance if np.isfinite(distance) else 0.0  # rounding can give the root of a negative number


def median_interval(values: Floats) -> Interval:
    """The median and its 95 % interval by order statistics, of values of shape (n,), n > 0: Conover (1999), 3.2."""
    ordered = np.sort(values)
    half = _Z * math.sqrt(len(ordered)) / 2.0
    low, high = math.floor(len(ordered) / 2.0 - half), math.ceil(len(ordered) / 2.0 + half)
    ends = [float(ordered[max(low, 0)]), float(ordered[min(high, len(ordered) - 1)])]
    return Interval(estimate=float(np.median(ordered)), low=ends[0], high=ends[1], confidence=0.95)


def wilson_lower_bound(hits: int, n_rows: int) -> float:
    """Lower end of the 95 % interval of a share of rows: Wilson (1927), as Brown, Cai and DasGupta (2001) advise."""
    if n_rows == 0:
        return 0.0
    share, square = hits / n_rows, _Z * _Z
    middle = share + square / (2 * n_rows)
    half = _Z * math.sqrt((share * (1 - share) + square / (4 * n_rows)) / n_rows)
    return max(0.0, (middle - half) / (1 + square / n_rows))
