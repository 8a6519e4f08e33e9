"""What of an answer is kept: the rows that the sample takes, the columns that are not left out."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import orjson

from configs.schema import PipelineConfig
from perennial.serving.log.prediction_record import PredictionRecord

_WHOLE = float(1 << 64)


class Sampler:
    """What is kept for one pipeline.

    Args:
        config: The pipeline's; its `serving.log` says what is kept.
    """

    def __init__(self, config: PipelineConfig) -> None:
        self._share, self._key = config.serving.log.sample, config.contract.key
        self._columns = kept_columns(config)

    def __call__(self, record: PredictionRecord) -> PredictionRecord | None:
        """What is kept of an answer; None where nothing is."""
        kept = record._replace(columns={name: one for name, one in record.columns.items() if name in self._columns})
        if self._share >= 1.0 or record.keep or record.role != "champion":
            return kept
        rows = [row for row, value in enumerate(self._sampling_keys(record)) if _unit(value) < self._share]
        return _select_rows(kept, rows) if rows else None

    def _sampling_keys(self, record: PredictionRecord) -> list[Any]:
        """What each row is drawn by: its key, or the request where it has none."""
        keys = [record.columns.get(name) for name in self._key]
        present = [_plain(one) for one in keys if one is not None]
        if not keys or len(present) < len(keys):
            return [record.request] * len(record.positions)
        return [record.request if None in values else values for values in zip(*present, strict=True)]


def kept_columns(config: PipelineConfig) -> frozenset[str]:
    """The contract's columns that are kept of each row."""
    log = config.serving.log
    return frozenset({*config.contract.key, *(config.feature_columns if log.inputs else ())} - {*log.leave_out})


def split_record(record: PredictionRecord, most: int) -> list[PredictionRecord]:
    """An answer in pieces of at most so many rows."""
    rows = len(record.positions)
    if rows <= most:
        return [record]
    return [_select_rows(record, range(start, min(start + most, rows))) for start in range(0, rows, most)]


def _select_rows(record: PredictionRecord, rows: Sequence[int]) -> PredictionRecord:
    """Some rows of an answer."""

    def taken(values: Sequence[Any]) -> Sequence[Any]:
        return values[rows.start : rows.stop] if isinstance(rows, range) else [values[row] for row in rows]

    return record._replace(
        positions=taken(record.positions),
        columns={name: taken(values) for name, values in record.columns.items()},
        predictions=None if record.predictions is None else taken(record.predictions),
        probabilities={name: taken(values) for name, values in record.probabilities.items()},
    )


def _plain(values: Any) -> Sequence[Any]:
    found: Sequence[Any] = values.tolist() if hasattr(values, "tolist") else values
    return found


def _unit(value: Any) -> float:
    """A number in [0, 1) that is the same for equal values, in every process, whatever else is drawn by them."""
    return int.from_bytes(blake2b(orjson.dumps(value), digest_size=8, person=b"perennial.served").digest()) / _WHOLE
