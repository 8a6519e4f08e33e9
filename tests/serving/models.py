"""A model that is sound while it is judged, and misbehaves in the service as the environment says."""

from __future__ import annotations

import os
import time
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import Ridge

SETTING = "MISBEHAVE"


class Moody(Ridge):
    """Ridge, but where MISBEHAVE names this one's mood: throws, slow, nonsense, or nan."""

    def __init__(self, mood: str = "sound", random_state: int = 0) -> None:
        super().__init__(alpha=1.0)
        self.mood, self.random_state = mood, random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """As Ridge does."""
        super().fit(X, y, sample_weight)
        return self

    def predict(self, X: Any) -> npt.NDArray[np.float64]:
        """As Ridge does, or not."""
        found: npt.NDArray[np.float64] = super().predict(X)
        # The sample stored with a model has twenty rows; a version is taken into service by it.
        if self.mood not in os.environ.get(SETTING, "").split(",") or len(X) == 20:
            return found
        if self.mood == "throws":
            raise RuntimeError(f"something about {X}")
        if self.mood == "slow":
            time.sleep(0.05)
        if self.mood == "nan":
            return np.full_like(found, np.nan)
        return found * 0.0 + 1000.0 if self.mood == "nonsense" else found
