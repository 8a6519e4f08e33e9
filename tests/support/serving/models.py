"""A model that is sound while it is judged, and misbehaves in the service as the environment says."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import Ridge

SETTING = "MISBEHAVE"


class Moody(Ridge):
    """Ridge, but where MISBEHAVE names this one's mood: throws, slow, stuck, nonsense, nan, or unlike.

    A mood of `told` is whatever the file tells that MISBEHAVE names: several versions of one model, each with its mood.
    """

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
        mood = self._now()
        if mood == "unlike":
            return found + 1.0
        if not mood or len(X) == 20:
            return found
        if mood == "throws":
            raise RuntimeError(f"something about {X}")
        if mood == "slow":
            time.sleep(0.05)
        if mood == "stuck":
            time.sleep(5.0)
        if mood == "nan":
            return np.full_like(found, np.nan)
        return found * 0.0 + 1000.0 if mood == "nonsense" else found

    def _now(self) -> str:
        setting = os.environ.get(SETTING, "")
        if self.mood == "told":
            return Path(setting).read_text(encoding="utf-8") if setting else ""
        return self.mood if self.mood in setting.split(",") else ""
