"""Why rows do not come in: for each row its first reason."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int64]
_NONE, _DUPLICATE = -1, -2


class Refusals:
    """What is against the rows of one file.

    Attributes:
        reasons: Names of the reasons, by number, and what is said of each.
    """

    def __init__(self, rows: int) -> None:
        self._reason = np.full(rows, _NONE, dtype=np.int16)
        self.reasons: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self._reason)

    def refuse(self, positions: Positions, name: str, detail: str) -> None:
        """Rows are refused for a reason; those that have one keep it."""
        if not positions.size:
            return
        if (name, detail) not in self.reasons:
            self.reasons.append((name, detail))
        free = positions[self._reason[positions] == _NONE]
        self._reason[free] = self.reasons.index((name, detail))

    def duplicate(self, positions: Positions) -> None:
        """Another row of the same key stands for these; they are not refused."""
        self._reason[positions] = _DUPLICATE

    def stand(self, accepted: Mask, duplicates: Mask) -> None:
        """What came of the rows before, in a run that was killed, stands; the others keep their reason, if any."""
        self._reason[self._reason == _DUPLICATE] = _NONE
        self._reason[accepted] = _NONE
        others = np.flatnonzero(~accepted & ~duplicates)
        self.refuse(others, "refused_before", "a run that was killed refused it, by rules that are not those of now")
        self._reason[duplicates & ~accepted] = _DUPLICATE

    @property
    def accepted(self) -> Mask:
        """Rows with nothing against them, shape (n_rows,)."""
        return np.equal(self._reason, _NONE)

    @property
    def refused(self) -> Mask:
        """Rows that go to quarantine, shape (n_rows,)."""
        return np.greater_equal(self._reason, 0)

    @property
    def duplicates(self) -> int:
        """How many rows another one stands for."""
        return int(np.count_nonzero(self._reason == _DUPLICATE))

    def why(self, position: int) -> tuple[str, str]:
        """A refused row's reason and what is said of it."""
        return self.reasons[int(self._reason[position])]

    def counts(self) -> dict[str, int]:
        """Refused rows by the reasons' names."""
        counts = np.bincount(self._reason[self.refused], minlength=len(self.reasons))
        found: dict[str, int] = {}
        for (name, _), count in zip(self.reasons, counts.tolist(), strict=True):
            if count:
                found[name] = found.get(name, 0) + count
        return found
