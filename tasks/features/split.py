"""Holdout splits by time or by a stable hash; a row held out by hash stays held out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from configs.schema import GroupSplit, Split, TimeSplit
from tasks.records.data import SplitRecord
from tasks.stores.files.hashing import unit_interval

Mask = npt.NDArray[np.bool_]
# One salt for all pipelines and seeds: another salt would move rows that a champion trained on into the holdout.
_SALT = 20260105


def resolve_split(
    split: Split,
    times_us: npt.NDArray[np.int64] | None,
    event_time: str | None = None,
    content: tuple[str, ...] = (),
) -> SplitRecord:
    """Return the definite rule that selects the holdout.

    Args:
        split: The configured split.
        times_us: Event times of the labelled rows, shape (n_rows,), microseconds; needed for a time split.
        event_time: Name of the column that the times come from.
        content: Where rows have no key: the columns whose content a random split goes by.

    Raises:
        ValueError: a time split without times.
    """
    if isinstance(split, TimeSplit):
        if times_us is None or times_us.size == 0:
            raise ValueError("a time split needs event times")
        position = min(int((1.0 - split.holdout) * times_us.size), times_us.size - 1)
        boundary = int(np.partition(times_us, position)[position])
        return SplitRecord(kind="time", holdout=split.holdout, column=event_time, boundary_us=boundary)
    if isinstance(split, GroupSplit):
        return SplitRecord(kind="group", holdout=split.holdout, column=split.column)
    return SplitRecord(kind="random", holdout=split.holdout, content=content)


def holdout_mask(
    record: SplitRecord, times_us: npt.NDArray[np.int64] | None, hashes: npt.NDArray[np.int64] | None
) -> Mask:
    """Return the mask of held-out rows, shape (n_rows,).

    Args:
        record: The rule.
        times_us: Event times, shape (n_rows,), microseconds; for a time split.
        hashes: Hashes of the key (random) or the group (group), shape (n_rows,).

    Raises:
        ValueError: an argument that the rule needs is missing.
    """
    if record.kind == "time":
        if times_us is None or record.boundary_us is None:
            raise ValueError("a time split needs event times and a boundary")
        return times_us >= record.boundary_us
    if hashes is None:
        raise ValueError(f"a {record.kind} split needs hashes")
    return unit_interval(hashes, _SALT) < record.holdout


def unseen_mask(
    record: SplitRecord,
    through_seq: int,
    sequences: npt.NDArray[np.int64],
    times_us: npt.NDArray[np.int64] | None,
    hashes: npt.NDArray[np.int64] | None,
) -> Mask:
    """Return the mask of rows that a model has not trained on, shape (n_rows,).

    Those are the rows that its own split held out, and those of batches that came after its training.

    Args:
        record: The split that the model was trained with.
        through_seq: Sequence number of the newest batch that it saw.
        sequences: Sequence number of each row's batch (or its label's, if later), shape (n_rows,).
        times_us: Event times, shape (n_rows,), or None.
        hashes: Hashes of its split column, shape (n_rows,), or None if that column no longer exists.
    """
    later = sequences > through_seq
    if record.kind == "time":
        return later if times_us is None else later | holdout_mask(record, times_us, None)
    return later if hashes is None else later | holdout_mask(record, None, hashes)
