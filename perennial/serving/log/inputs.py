"""What came in, column by column, as numbers that drift can be seen by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from configs.contract import Column
from configs.schema import PipelineConfig
from perennial.serving.log.prediction_record import InputCounts, PredictionRecord

_NUMBERS = ("integer", "number", "boolean")


def input_counts(config: PipelineConfig, records: Sequence[PredictionRecord]) -> dict[str, InputCounts]:
    """What came in for each feature column that is not left out. A row that two versions were asked counts once.

    Args:
        config: The pipeline's.
        records: Its predictions, of all roles.
    """
    asked = [one for one in records if one.role == "champion" or (one.role == "canary" and not one.error)]
    found = {}
    for name in (one for one in config.feature_columns if one not in config.serving.log.leave_out):
        values: list[Any] = []
        for answer in asked:
            column = answer.columns.get(name)
            if column is not None:
                values.extend(column)
        if values:
            found[name] = _counts(config.contract.columns[name], values)
    return found


def _counts(column: Column, values: list[Any]) -> InputCounts:
    if column.type in _NUMBERS:
        numbers = np.array(values, dtype=np.float64)  # None becomes NaN
        present = numbers[~np.isnan(numbers)]
        return InputCounts(
            len(values), len(values) - len(present), float(present.sum()), float(np.dot(present, present)), 0
        )
    missing = sum(value is None or value != value for value in values)
    allowed = None if column.allowed is None else {*column.allowed, None}
    unseen = 0 if allowed is None else sum(value not in allowed and value == value for value in values)
    return InputCounts(len(values), missing, 0.0, 0.0, unseen)
