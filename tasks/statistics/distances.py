"""How far one model's answers lie from another's for the same rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from tasks.records.decision import Interval

Floats = npt.NDArray[np.float64]
_ROUNDING, _TINY = 1e-9, 1e-300
_Z = 1.959964  # of 95 %


def number_shift(challenger: Floats, champion: Floats) -> float:
    """Wasserstein distance in standard deviations of the champion's answers, both of shape (n_rows,).

    Where the champion gives one and the same answer, but for rounding, the unit is its size, or 1 where it is 0.
    """
    return float(wasserstein_distance(challenger, champion)) / _unit(champion)


def _unit(champion: Floats) -> float:
    spread, size = float(np.std(champion)), float(np.max(np.abs(champion)))
    unit = spread if spread > _ROUNDING * size else size
    return unit if unit > _TINY else 1.0


def class_shift(challenger: npt.NDArray[Any], champion: npt.NDArray[Any]) -> float:
    """Jensen-Shannon distance (base 2: from 0 to 1) of how often each class is given, both of shape (n_rows,)."""
    classes = sorted({*challenger.tolist(), *champion.tolist()}, key=str)
    shares = [[float(np.mean(np.equal(one, name))) for name in classes] for one in (challenger, champion)]
    found = float(jensenshannon(*shares, base=2))
    return found if np.isfinite(found) else 0.0  # rounding may take the root of less than nothing


def median_interval(values: Floats) -> Interval:
    """The median and its 95 % interval by order statistics, of values of shape (n,), n > 0: Conover (1999), 3.2."""
    found = np.sort(values)
    half = _Z * math.sqrt(len(found)) / 2.0
    low, high = math.floor(len(found) / 2.0 - half), math.ceil(len(found) / 2.0 + half)
    ends = [float(found[max(low, 0)]), float(found[min(high, len(found) - 1)])]
    return Interval(estimate=float(np.median(found)), low=ends[0], high=ends[1], confidence=0.95)


def wilson_low(found: int, rows: int) -> float:
    """Lower end of the 95 % interval of a share of rows: Wilson (1927), as Brown, Cai and DasGupta (2001) advise."""
    if rows == 0:
        return 0.0
    share, square = found / rows, _Z * _Z
    middle = share + square / (2 * rows)
    half = _Z * math.sqrt((share * (1 - share) + square / (4 * rows)) / rows)
    return max(0.0, (middle - half) / (1 + square / rows))
