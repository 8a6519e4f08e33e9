"""What of an answer is kept: the rows that the sample takes, the columns that are not left out."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import orjson

from configs.schema import PipelineConfig
from perennial.serving.log.answer import Answer

_WHOLE = float(1 << 64)


class Chooser:
    """What is kept for one pipeline.

    Args:
        config: The pipeline's; its `serving.log` says what is kept.
    """

    def __init__(self, config: PipelineConfig) -> None:
        self._share, self._key = config.serving.log.sample, config.contract.key
        self._columns = kept_columns(config)

    def __call__(self, answer: Answer) -> Answer | None:
        """What is kept of an answer; None where nothing is."""
        kept = answer._replace(columns={name: one for name, one in answer.columns.items() if name in self._columns})
        if self._share >= 1.0 or answer.keep or answer.role != "champion":
            return kept
        rows = [row for row, value in enumerate(self._values(answer)) if _unit(value) < self._share]
        return _rows(kept, rows) if rows else None

    def _values(self, answer: Answer) -> list[Any]:
        """What each row is drawn by: its key, or the request where it has none."""
        keys = [answer.columns.get(name) for name in self._key]
        present = [_plain(one) for one in keys if one is not None]
        if not keys or len(present) < len(keys):
            return [answer.request] * len(answer.positions)
        return [answer.request if None in values else values for values in zip(*present, strict=True)]


def kept_columns(config: PipelineConfig) -> frozenset[str]:
    """The contract's columns that are kept of each row."""
    log = config.serving.log
    return frozenset({*config.contract.key, *(config.feature_columns if log.inputs else ())} - {*log.leave_out})


def pieces(answer: Answer, most: int) -> list[Answer]:
    """An answer in pieces of at most so many rows."""
    rows = len(answer.positions)
    if rows <= most:
        return [answer]
    return [_rows(answer, range(start, min(start + most, rows))) for start in range(0, rows, most)]


def _rows(answer: Answer, rows: Sequence[int]) -> Answer:
    """Some rows of an answer."""

    def taken(values: Sequence[Any]) -> Sequence[Any]:
        return values[rows.start : rows.stop] if isinstance(rows, range) else [values[row] for row in rows]

    return answer._replace(
        positions=taken(answer.positions),
        columns={name: taken(values) for name, values in answer.columns.items()},
        predictions=None if answer.predictions is None else taken(answer.predictions),
        probabilities={name: taken(values) for name, values in answer.probabilities.items()},
    )


def _plain(values: Any) -> Sequence[Any]:
    found: Sequence[Any] = values.tolist() if hasattr(values, "tolist") else values
    return found


def _unit(value: Any) -> float:
    """A number in [0, 1) that is the same for equal values, in every process, whatever else is drawn by them."""
    return int.from_bytes(blake2b(orjson.dumps(value), digest_size=8, person=b"perennial.served").digest()) / _WHOLE
