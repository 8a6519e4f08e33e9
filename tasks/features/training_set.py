"""Assembly of training sets: observations and labels joined, sorted by event time and row id, and split."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from configs.schema import GroupSplit, PipelineConfig
from tasks.errors import DataRejectedError
from tasks.features.split import holdout_mask, resolve_split
from tasks.records.data import SplitRecord
from tasks.stores.files.hashing import row_hash
from tasks.stores.lake.schemas import ROW_ID, SEQ

TARGET = "_target"


class TrainingSet(NamedTuple):
    """Training and holdout rows: feature columns, `_target`, `_row_id`, `_seq`, event time and group column."""

    train: pa.Table
    holdout: pa.Table
    split: SplitRecord


def needed_columns(config: PipelineConfig) -> list[str]:
    """Return the columns of `observations` that a training set needs."""
    return [*config.training_columns, ROW_ID, SEQ]


def assemble(config: PipelineConfig, observations: pa.Table, labels: pa.Table | None) -> TrainingSet:
    """Return the training set of the labelled observations.

    Args:
        config: The pipeline.
        observations: `needed_columns` of the accepted observations, in any order.
        labels: `_row_id`, `_seq` and target of the accepted labels; None if the target is a column of the observations.

    Raises:
        DataRejectedError: no row is labelled, one side of the split is empty, or a classification has one class.
    """
    table = with_targets(observations, labels, config.contract.target)
    if table.num_rows == 0:
        raise DataRejectedError(_no_label_message(config, observations.num_rows))
    table = _sorted(table, config.contract.event_time)
    times = event_times(table, config.contract.event_time)
    split = resolve_split(config.split, times, config.contract.event_time, _content(config))
    mask = holdout_mask(split, times, split_hashes(table, split))
    train, holdout = table.filter(pa.array(~mask)), table.filter(pa.array(mask))
    _check_sides(config, train, holdout)
    return TrainingSet(train, holdout, split)


def with_targets(observations: pa.Table, labels: pa.Table | None, target: str) -> pa.Table:
    """Return labelled observations with `_target`; `_seq` is that of row or label, whichever is later."""
    if labels is None:
        table = observations.rename_columns({target: TARGET})
        return table.filter(table.column(TARGET).is_valid())
    labels = labels.filter(labels.column(target).is_valid()).sort_by([(ROW_ID, "ascending"), (SEQ, "ascending")])
    label_ids = labels.column(ROW_ID).to_numpy()
    row_ids = observations.column(ROW_ID).to_numpy()
    # The last of equal ids is the newest label.
    positions = np.searchsorted(label_ids, row_ids, side="right") - 1
    has_label = (
        (positions >= 0) & (label_ids.take(np.maximum(positions, 0)) == row_ids)
        if label_ids.size
        else np.zeros(row_ids.size, bool)
    )
    table = observations.filter(pa.array(has_label))
    matched = labels.take(pa.array(positions[has_label]))
    sequences = np.maximum(table.column(SEQ).to_numpy(), matched.column(SEQ).to_numpy())
    table = table.set_column(table.schema.get_field_index(SEQ), SEQ, pa.array(sequences))
    return table.append_column(TARGET, matched.column(target))


def event_times(table: pa.Table, event_time: str | None) -> npt.NDArray[np.int64] | None:
    """Return event times as microseconds since 1970, shape (n_rows,); None if the contract has none."""
    if event_time is None or event_time not in table.column_names:
        return None
    return np.asarray(table.column(event_time).cast(pa.int64()).to_numpy())


def split_hashes(table: pa.Table, split: SplitRecord) -> npt.NDArray[np.int64] | None:
    """Return the hashes of a split, shape (n_rows,); None for a time split or a missing column."""
    if split.kind == "time":
        return None
    if split.kind == "random" and split.content:
        known = set(split.content) <= set(table.column_names)
        return row_hash(table, list(split.content)) if known else None
    if split.kind == "random":
        return np.asarray(table.column(ROW_ID).to_numpy())
    if split.column is None or split.column not in table.column_names:
        return None
    return row_hash(table, [split.column])


def resample_units(config: PipelineConfig, table: pa.Table) -> npt.NDArray[np.int64] | None:
    """Return the resampling unit of each row (day or group), shape (n_rows,); None: rows."""
    unit = config.evaluation.comparison.unit
    times = event_times(table, config.contract.event_time)
    if unit == "day" and times is not None:
        return times // 86_400_000_000
    if unit == "group" and isinstance(config.split, GroupSplit):
        return row_hash(table, [config.split.column])
    return None


def _content(config: PipelineConfig) -> tuple[str, ...]:
    """The columns that tell rows apart where there is no key: a row that is delivered again is on the same side."""
    if config.contract.key:
        return ()
    return (*sorted({*config.training_columns} - {config.contract.target}), TARGET)


def _sorted(table: pa.Table, event_time: str | None) -> pa.Table:
    ids = table.column(ROW_ID).to_numpy()
    times = event_times(table, event_time)
    if times is not None and not (np.diff(times) <= 0).any():
        return table  # strictly ascending already
    order = np.argsort(ids, kind="stable") if times is None else np.lexsort((ids, times))
    return table.take(pa.array(order))


def _no_label_message(config: PipelineConfig, rows: int) -> str:
    where = "label files" if config.labels is not None else f"column {config.contract.target!r}"
    return f"no labelled rows: none of {rows} observations has a target in its {where}; a model needs labels"


def _check_sides(config: PipelineConfig, train: pa.Table, holdout: pa.Table) -> None:
    if train.num_rows == 0 or holdout.num_rows == 0:
        raise DataRejectedError(
            f"the {config.split.kind} split left {train.num_rows} training and {holdout.num_rows} holdout rows; "
            "both need rows: land more data or change split.holdout"
        )
    if config.task == "classification":
        classes = train.column(TARGET).unique().to_pylist()
        if len(classes) < 2:
            raise DataRejectedError(
                f"the target {config.contract.target!r} has one class, {classes[0]!r}, in all {train.num_rows} "
                "training rows; a classification needs at least two: land rows of the others"
            )
