"""What the contract itself expects of rows, in Great Expectations' words, and what it says of keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import JsonValue

from configs.contract import Column, Expectation
from configs.schema import PipelineConfig
from tasks.refs import Feed

Mask = npt.NDArray[np.bool_]


def suite(config: PipelineConfig, feed: Feed) -> tuple[Expectation, ...]:
    """All expectations of a feed: those the contract implies, then those that the YAML names."""
    columns = config.columns_of(feed)
    never_missing = {*config.contract.key, config.contract.event_time or ""}
    implied = [one for name, column in columns.items() for one in _implied(name, column, name in never_missing)]
    return (*implied, *(config.expectations if feed == "observations" else ()))


def _implied(name: str, column: Column, never_missing: bool) -> Iterator[Expectation]:
    if never_missing or not column.nullable:
        yield Expectation(type="expect_column_values_to_not_be_null", arguments={"column": name})
    if column.allowed is not None:
        allowed: dict[str, JsonValue] = {"column": name, "value_set": list(column.allowed)}
        yield Expectation(type="expect_column_values_to_be_in_set", arguments=allowed)
    limits: dict[str, JsonValue] = {"min_value": column.minimum, "max_value": column.maximum}
    given = {key: value for key, value in limits.items() if value is not None}
    if given:
        yield Expectation(type="expect_column_values_to_be_between", arguments={"column": name, **given})


def repeated_in_batch(table: pa.Table, key: Sequence[str], usable: Mask) -> Mask:
    """Rows, shape (n_rows,), whose key stands in an earlier usable row of the same batch. The first is kept."""
    mask = np.zeros(table.num_rows, dtype=bool)
    if key and usable.any():
        keys = table.select(list(key)).filter(pa.array(usable)).to_pandas()
        mask[np.flatnonzero(usable)] = keys.duplicated(keep="first").to_numpy()
    return mask


def present_in(table: pa.Table, key: Sequence[str], kept: pa.Table, usable: Mask) -> Mask:
    """Rows, shape (n_rows,), whose key the lake has.

    Args:
        table: The batch.
        key: The key's columns.
        kept: Rows of the lake whose key's hash is among the batch's, with the key's columns. Hashes may collide,
            keys decide.
        usable: Rows still in question, shape (n_rows,).
    """
    mask = np.zeros(table.num_rows, dtype=bool)
    if not key or kept.num_rows == 0:
        return mask
    known = kept.select(list(key)).to_pandas().drop_duplicates()
    rows = np.flatnonzero(usable)
    asked = table.select(list(key)).take(pa.array(rows)).to_pandas()
    merged = asked.merge(known.assign(_known=True), on=list(key), how="left")
    mask[rows] = merged["_known"].notna().to_numpy()
    return mask
