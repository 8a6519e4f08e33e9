"""Observations to predictions, as one table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from configs.schema import PipelineConfig
from tasks.errors import DataRejectedError
from tasks.features.frame import feature_frame
from tasks.refs import ModelRef
from tasks.stores.models import prediction_columns
from tasks.stores.staging import UNREADABLE
from tasks.stores.tables import PROVENANCE, ROW, TIMESTAMP

_SHOWN = 5


def needed_columns(config: PipelineConfig, champion: ModelRef) -> list[str]:
    """Columns that scoring reads: the key's, and those that the model takes."""
    return list(dict.fromkeys([*config.contract.key, *champion.feature_columns]))


def refuse_unusable(table: pa.Table, names: Sequence[str], config: PipelineConfig) -> None:
    """Look at rows of a file that is to be scored.

    Raises:
        DataRejectedError: cells that are not of the contract's type, or missing where the contract allows no missing.
    """
    unreadable = table.filter(table.column(UNREADABLE).is_valid())
    if unreadable.num_rows:
        shown = [f"row {row[ROW]}: {row[UNREADABLE]}" for row in unreadable.slice(0, _SHOWN).to_pylist()]
        raise DataRejectedError(
            f"{unreadable.num_rows} rows have values that are not of the contract's type: {'; '.join(shown)}"
        )
    for name in names:
        missing = table.filter(pc.is_null(table.column(name)))
        column = config.contract.columns.get(name)
        if missing.num_rows and column is not None and not column.nullable:
            rows = ", ".join(str(row) for row in missing.slice(0, _SHOWN).column(ROW).to_pylist())
            raise DataRejectedError(
                f"column {name!r} is missing in {missing.num_rows} rows (first: {rows}); the contract allows no missing"
            )


def output_table(config: PipelineConfig, champion: ModelRef, model: Any, table: pa.Table) -> pa.Table:
    """Scored rows for a person: key columns (or `row`, from 1), prediction, probabilities, model_version."""
    identity = {name: table.column(name) for name in config.contract.key} or {"row": table.column(ROW)}
    return pa.table({**identity, **_answers(champion, model, table)})


def stored_table(config: PipelineConfig, champion: ModelRef, model: Any, table: pa.Table, at: datetime) -> pa.Table:
    """Scored rows for `predictions`: key, provenance, prediction, probabilities, model_version, scored_at."""
    kept = {name: table.column(name) for name in (*config.contract.key, *(field.name for field in PROVENANCE))}
    scored_at = pa.repeat(pa.scalar(at, TIMESTAMP), table.num_rows)
    return pa.table({**kept, **_answers(champion, model, table), "scored_at": scored_at})


def _answers(champion: ModelRef, model: Any, table: pa.Table) -> dict[str, pa.Array]:
    frame = feature_frame(table, champion.feature_columns, champion.columns)
    version = pa.repeat(pa.scalar(champion.version, pa.int64()), table.num_rows)
    return {**prediction_columns(model, frame), "model_version": version}
