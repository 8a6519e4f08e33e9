"""Rejected rows of a file, each with its first reason."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int64]
_NONE, _DUPLICATE = -1, -2


class Rejections:
    """The rejected rows of one file.

    Attributes:
        reasons: Name and description of each reason.
    """

    def __init__(self, rows: int) -> None:
        self._reason = np.full(rows, _NONE, dtype=np.int16)
        self.reasons: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self._reason)

    def reject(self, positions: Positions, name: str, detail: str) -> None:
        """Reject rows; those already rejected keep their reason."""
        if not positions.size:
            return
        if (name, detail) not in self.reasons:
            self.reasons.append((name, detail))
        unassigned = positions[self._reason[positions] == _NONE]
        self._reason[unassigned] = self.reasons.index((name, detail))

    def duplicate(self, positions: Positions) -> None:
        """Mark rows as duplicates, which are not rejected."""
        self._reason[positions] = _DUPLICATE

    def restore(self, accepted: Mask, duplicates: Mask) -> None:
        """Restore what an interrupted run committed; other rows keep their reason, if any."""
        self._reason[self._reason == _DUPLICATE] = _NONE
        self._reason[accepted] = _NONE
        others = np.flatnonzero(~accepted & ~duplicates)
        self.reject(others, "refused_before", "an interrupted run rejected it, by other rules than the current ones")
        self._reason[duplicates & ~accepted] = _DUPLICATE

    @property
    def accepted(self) -> Mask:
        """Mask of the valid rows, shape (n_rows,)."""
        return np.equal(self._reason, _NONE)

    @property
    def rejected(self) -> Mask:
        """Mask of the rejected rows, shape (n_rows,)."""
        return np.greater_equal(self._reason, 0)

    @property
    def duplicates(self) -> int:
        """Number of duplicate rows."""
        return int(np.count_nonzero(self._reason == _DUPLICATE))

    def reason(self, position: int) -> tuple[str, str]:
        """Return name and description of a rejected row's reason."""
        return self.reasons[int(self._reason[position])]

    def counts(self) -> dict[str, int]:
        """Return the number of rejected rows by reason."""
        counts = np.bincount(self._reason[self.rejected], minlength=len(self.reasons))
        counts_by_name: dict[str, int] = {}
        for (name, _), count in zip(self.reasons, counts.tolist(), strict=True):
            if count:
                counts_by_name[name] = counts_by_name.get(name, 0) + count
        return counts_by_name
