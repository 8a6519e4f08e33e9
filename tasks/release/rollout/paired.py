"""Stored answers of two versions for the same rows, side by side, as the checks of a rollout take them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from configs.schema import PipelineConfig
from tasks.features.frame import target_values
from tasks.statistics.classes import probability_columns
from tasks.statistics.metrics import ModelPredictions
from tasks.stores.lake.schemas import ERROR, PREDICT_MS

CHAMPION_PREFIX = "_champion_"  # prefix of the champion's columns in a joined table
_PROBABILITY = "probability_"


def valid_predictions(table: pa.Table) -> pa.Table:
    """The rows with an answer that is one: no error, and no missing or infinite number."""
    found = pc.and_(pc.equal(pc.fill_null(table.column(ERROR), ""), ""), pc.is_valid(table.column("prediction")))
    if pa.types.is_floating(table.column("prediction").type):
        found = pc.and_(found, pc.fill_null(pc.is_finite(table.column("prediction")), False))
    return table.filter(found)


def prediction_names(names: list[str]) -> list[str]:
    """Those of a table's columns that hold answers."""
    return [name for name in names if name == "prediction" or name.startswith(_PROBABILITY)]


def join_pairs(challenger: pa.Table, champion: pa.Table, keys: list[str]) -> pa.Table:
    """Rows that both answered, the champion's columns with a prefix, in the order of the keys."""
    kept = [name for name in champion.column_names if name in (PREDICT_MS, *prediction_names(champion.column_names))]
    theirs = champion.select([*keys, *kept]).rename_columns([*keys, *(f"{CHAMPION_PREFIX}{name}" for name in kept)])
    return challenger.join(theirs, keys=keys, join_type="inner").sort_by([(name, "ascending") for name in keys])


def paired_predictions(
    config: PipelineConfig, table: pa.Table, more: tuple[Any, ...] = ()
) -> tuple[ModelPredictions, ModelPredictions]:
    """The challenger's and the champion's predictions in a joined table.

    Args:
        config: The pipeline.
        table: What `beside` gave.
        more: True classes, for answers without probabilities.
    """
    return predictions(config, table, "", more), predictions(config, table, CHAMPION_PREFIX, more)


def predictions(config: PipelineConfig, table: pa.Table, prefix: str, more: tuple[Any, ...]) -> ModelPredictions:
    """One version's answers in a joined table."""
    column = config.contract.columns[config.contract.target]
    point = target_values(table.select([f"{prefix}prediction"]), column)
    if config.task == "regression":
        return ModelPredictions(point)
    start = f"{prefix}{_PROBABILITY}"
    known = probability_columns(table, column, start)
    if not known:
        return ModelPredictions(point, None, tuple(sorted({*point.tolist(), *more})))
    classes = tuple(sorted(known))
    columns = [np.nan_to_num(table.column(known[name]).to_numpy()) for name in classes]
    return ModelPredictions(point, np.column_stack(columns), classes)


def milliseconds(table: pa.Table, prefix: str) -> npt.NDArray[np.float64]:
    """How long each row's prediction took, shape (n_rows,); NaN where that is not known."""
    return np.asarray(table.column(f"{prefix}{PREDICT_MS}").cast(pa.float64()).to_numpy())
