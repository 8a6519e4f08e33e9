"""What a look at a rollout goes by: what both versions answered, how fast, and what turned out to be true."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.statistics.metrics import ModelPredictions

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pairs:
    """Rows that both versions answered: their answers, and how long their models took.

    Attributes:
        challenger_ms, champion_ms: Milliseconds, shape (n_times,): rows of one request are one measurement.
        waited_ms: The champion's for rows of other keys in the same time, shape (n_others,). In a canary callers wait
            for the challenger, and the champion answers its rows at leisure.
    """

    challenger: ModelPredictions
    champion: ModelPredictions
    challenger_ms: Floats
    champion_ms: Floats
    waited_ms: Floats = field(default_factory=lambda: np.array([]))


@dataclass(frozen=True)
class Labelled:
    """Rows that both answered and whose label is known. `units`: what the bootstrap draws, shape (n_rows,)."""

    truth: npt.NDArray[Any]
    challenger: ModelPredictions
    champion: ModelPredictions
    units: npt.NDArray[np.int64] | None


@dataclass(frozen=True)
class Evidence:
    """What is known of a step.

    Attributes:
        answered: Rows that the challenger answered in it.
        asked: The newest rows that it was asked, as many as are looked at.
        failed: Those of them that it did not answer.
        pairs: Those of them that both answered; None where there is none.
        labelled: Rows of the whole rollout with a label; None where there is none.
        refused: Why the service refused to load it; empty where it did not.
    """

    answered: int
    asked: int
    failed: int
    pairs: Pairs | None = None
    labelled: Labelled | None = None
    refused: str = ""
