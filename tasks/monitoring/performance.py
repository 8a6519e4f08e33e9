"""Predictions against the labels that have come since: how good the champion is now, beside its holdout."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from configs.contract import Column
from configs.schema import Metric, PipelineConfig
from tasks.features.frame import target_values
from tasks.features.training_set import TARGET, resample_units, with_targets
from tasks.records.decision import Interval, WatchState
from tasks.statistics.classes import probability_columns
from tasks.statistics.intervals import interval
from tasks.statistics.metrics import METRIC_KINDS, ModelPredictions
from tasks.stores.lake.schemas import ROW_ID, SEQ

_LANDED = "_landed"
_PROBABILITY = "probability_"
_FEW_UNITS = 3


class PerformanceState(NamedTuple):
    """State and reasons; and the limit, where there is one."""

    state: WatchState
    reasons: tuple[str, ...]
    limit: float | None = None


def needed_columns(config: PipelineConfig) -> list[str]:
    """Columns of `observations` that predictions are compared with, and those that the bootstrap's unit goes by."""
    unit = config.evaluation.comparison.unit
    wanted = [ROW_ID, SEQ]
    if config.labels is None:
        wanted.append(config.contract.target)
    if unit == "day" and config.contract.event_time:
        wanted.append(config.contract.event_time)
    if unit == "group" and config.split.kind == "group":
        wanted.append(config.split.column)
    return list(dict.fromkeys(wanted))


def labelled_window(observations: pa.Table, labels: pa.Table | None, target: str, most: int) -> pa.Table:
    """The labelled rows of the newest batches that have any label, with `_target`; `_landed` is the batch's number.

    Args:
        observations: `needed_columns` of the batches that may be looked at.
        labels: `_row_id`, `_seq` and target of the labels; None where they came with the observations.
        target: Name of the target.
        most: Number of batches, at most.
    """
    table = with_targets(observations.append_column(_LANDED, observations.column(SEQ)), labels, target)
    newest = sorted(pc.unique(table.column(_LANDED)).to_pylist())[-most:]
    return table.filter(pc.is_in(table.column(_LANDED), value_set=pa.array(newest, pa.int64())))


def window_batches(window: pa.Table) -> list[int]:
    """Sequence numbers of a window's batches, ascending."""
    return sorted(pc.unique(window.column(_LANDED)).to_pylist())


def join_predictions(window: pa.Table, predictions: pa.Table) -> pa.Table:
    """The window's rows that have a prediction, with it, in the order of their row ids."""
    answers = [name for name in predictions.column_names if name == "prediction" or name.startswith(_PROBABILITY)]
    found = window.join(predictions.select([ROW_ID, *answers]), keys=ROW_ID, join_type="inner")
    return found.sort_by([(ROW_ID, "ascending")])


def measure_performance(config: PipelineConfig, table: pa.Table) -> tuple[Interval | None, int | None]:
    """The primary metric on joined rows, and of how many units (None: rows) its interval is drawn.

    Args:
        config: The pipeline.
        table: What `joined` gave; at least one row.
    """
    column = config.contract.columns[config.contract.target]
    truth = target_values(table.select([TARGET]), column)
    units = resample_units(config, table)
    rule = config.evaluation.comparison
    found = interval(
        config.evaluation.primary,
        truth,
        _verify_predictions(config, table, column, truth),
        units,
        resamples=rule.resamples,
        confidence=rule.confidence,
        seed=config.seed,
    )
    return found, None if units is None else len(np.unique(units))


def _verify_predictions(
    config: PipelineConfig, table: pa.Table, column: Column, truth: npt.NDArray[Any]
) -> ModelPredictions:
    point = target_values(table.select(["prediction"]), column)
    if config.task == "regression":
        return ModelPredictions(point)
    known = probability_columns(table, column, _PROBABILITY)
    if not known:
        return ModelPredictions(point, None, tuple(sorted({*point.tolist(), *truth.tolist()})))
    classes = tuple(sorted(known))
    return ModelPredictions(point, np.column_stack([table.column(known[name]).to_numpy() for name in classes]), classes)


def performance_state(
    config: PipelineConfig, holdout: float | None, current: Interval | None, rows: int, units: int | None, batches: int
) -> PerformanceState:
    """Evaluate by the tolerance. No label is never fine: it is unknown.

    Args:
        config: The pipeline.
        holdout: The champion's primary metric when it was evaluated; None where the audit has it not.
        current: The same on the newest labelled rows; None where it is not a number on them, or too few.
        rows: How many those are.
        units: Of how many days or groups the interval is drawn; None: rows.
        batches: How many batches they are of.
    """
    metric, rules = config.evaluation.primary, config.monitoring.performance
    if rows < rules.min_rows:
        return PerformanceState(
            "unknown", (f"{rows} predicted rows have a label, at least {rules.min_rows} are needed",)
        )
    if holdout is None:
        return PerformanceState("unknown", (f"{metric} was not measured when the champion was evaluated",))
    if current is None:
        return PerformanceState("unknown", (f"{metric} is not a number on {rows} labelled rows",))
    limit, beyond, wholly = _compare(metric, holdout, rules.tolerance, current)
    summary = (
        f"{metric} {current.estimate:.4g} ({current.low:.4g} to {current.high:.4g}) on {rows} labelled rows of "
        f"{batches} batches, {holdout:.4g} on the holdout; the limit is {limit:.4g}"
    )
    if not beyond:
        return PerformanceState("ok", (summary,), limit)
    if units is not None and units < _FEW_UNITS:
        few = f"{units} of the {_FEW_UNITS} {config.evaluation.comparison.unit}s needed to tell this from chance"
        return PerformanceState("warn", (summary, few), limit)
    return PerformanceState("act" if wholly else "warn", (summary, *(() if wholly else ("it may be chance",))), limit)


def _compare(metric: Metric, holdout: float, tolerance: float, current: Interval) -> tuple[float, bool, bool]:
    """The limit, whether the metric is worse than it, and whether its whole interval is."""
    margin = tolerance * abs(holdout)
    if METRIC_KINDS[metric].greater_is_better:
        limit = holdout - margin
        return limit, current.estimate < limit, current.high < limit
    limit = holdout + margin
    return limit, current.estimate > limit, current.low > limit
