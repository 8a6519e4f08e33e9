"""The evidence of a rollout without a service: both versions score the newest accepted rows, and are compared."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from configs.schema import PipelineConfig
from tasks.features.frame import feature_frame, target_values
from tasks.features.training_set import TARGET, resample_units, with_targets
from tasks.records.data import BatchRecord
from tasks.records.model import ModelRef
from tasks.release.rollout.evidence import Evidence, Labelled, Pairs
from tasks.release.rollout.paired import join_pairs, paired_predictions, valid_predictions
from tasks.stores.lake.schemas import ERROR, ROW_ID, SEQ
from tasks.stores.lake.tables import Lake
from tasks.stores.registry import models

PIECE = 50_000  # rows scored at once
TIMED_ROWS = 1_000  # at most, a timed prediction
TIMED = 15  # predictions of each version, in turns: a machine that is busy for a while slows both


def newest(lake: Lake, rows: int) -> list[BatchRecord]:
    """The newest accepted batches that hold so many rows together, or all there are; oldest first."""
    found: list[BatchRecord] = []
    for batch in reversed(lake.ledger()):
        if batch.verdict == "accepted" and batch.feed == "observations" and batch.accepted > batch.superseded:
            found.append(batch)
            if sum(one.accepted - one.superseded for one in found) >= rows:
                break
    return found[::-1]


def evidence(config: PipelineConfig, lake: Lake, challenger: ModelRef, champion: ModelRef, rows: int) -> Evidence:
    """What both versions say of at least so many of the newest accepted rows."""
    batches = newest(lake, rows)
    loaded = [(ref, models.load(Path(ref.folder) / models.MODEL_FILE, config.training.trusted_types))
              for ref in (challenger, champion)]  # fmt: skip
    times = np.empty((0, 2))
    pieces: list[list[pa.Table]] = []
    for piece in _pieces(lake, batches, (challenger, champion)):
        pieces.append([_scored(ref, model, piece) for ref, model in loaded])
        if not len(times) and all(_answered(scored) for scored in pieces[-1]):
            times = _measure_milliseconds(loaded, piece.slice(0, TIMED_ROWS))
    if not pieces:
        return Evidence(answered=0, asked=0, failed=0)
    mine, theirs = (pa.concat_tables([piece[side] for piece in pieces], promote_options="default") for side in (0, 1))
    good = valid_predictions(mine)
    table = join_pairs(good, valid_predictions(theirs), [ROW_ID])
    pairs = None
    if table.num_rows:
        pairs = Pairs(*paired_predictions(config, table), times[:, 0], times[:, 1])
    return Evidence(
        answered=good.num_rows,
        asked=mine.num_rows,
        failed=mine.num_rows - good.num_rows,
        pairs=pairs,
        labelled=_labelled(config, lake, table, [one.seq for one in batches if one.seq > challenger.through_seq]),
    )


def _pieces(lake: Lake, batches: list[BatchRecord], refs: tuple[ModelRef, ...]) -> Iterator[pa.Table]:
    wanted = [ROW_ID, *(name for ref in refs for name in ref.feature_columns)]
    where = pc.field(SEQ).isin([one.seq for one in batches])
    for batch in lake.scan("observations", list(dict.fromkeys(wanted)), where):
        for start in range(0, batch.num_rows, PIECE):
            yield pa.Table.from_batches([batch.slice(start, PIECE)])


def _scored(ref: ModelRef, model: Any, piece: pa.Table) -> pa.Table:
    """One version's answers for a piece, or why there are none."""
    frame = feature_frame(piece, ref.feature_columns, ref.columns)
    ids = {ROW_ID: piece.column(ROW_ID)}
    try:
        return _table({**ids, **models.prediction_columns(model, frame)}, "", piece.num_rows)
    except Exception as error:  # whatever a model throws: it is counted, and reported
        return _table(ids, f"{type(error).__name__}: {error}", piece.num_rows)


def _table(columns: Mapping[str, Any], error: str, rows: int) -> pa.Table:
    found = pa.table({**columns, ERROR: pa.repeat(error, rows)})
    if "prediction" not in columns:
        found = found.append_column("prediction", pa.nulls(rows))
    return found


def _answered(scored: pa.Table) -> bool:
    return bool(scored.num_rows) and not scored.column(ERROR)[0].as_py()


def _measure_milliseconds(loaded: Sequence[tuple[ModelRef, Any]], piece: pa.Table) -> npt.NDArray[np.float64]:
    """Milliseconds of each version for the same rows, shape (TIMED, 2); NaN where a model threw."""
    frames = [feature_frame(piece, ref.feature_columns, ref.columns) for ref, _ in loaded]
    times = np.full((TIMED, len(loaded)), np.nan)
    for turn in range(TIMED):
        for side, (_, model) in enumerate(loaded):
            started = time.perf_counter()
            with contextlib.suppress(Exception):  # errors are counted on the rows that are scored
                models.prediction_columns(model, frames[side])
                times[turn, side] = (time.perf_counter() - started) * 1000.0
    return times


def _labelled(config: PipelineConfig, lake: Lake, table: pa.Table, unseen: list[int]) -> Labelled | None:
    """Rows with a label, of batches that the challenger was not trained on; None where there is none."""
    if not unseen or not table.num_rows:
        return None
    target = config.contract.target
    more = [] if config.labels is not None else [target]
    if config.evaluation.comparison.unit == "day" and config.contract.event_time:
        more.append(config.contract.event_time)
    if config.split.kind == "group":
        more.append(config.split.column)
    rows = lake.read("observations", [ROW_ID, SEQ, *dict.fromkeys(more)], where=pc.field(SEQ).isin(unseen))
    labels = None if config.labels is None else lake.read("labels", [ROW_ID, SEQ, target])
    known = with_targets(rows, labels, target)
    found = known.join(table, keys=ROW_ID, join_type="inner").sort_by([(ROW_ID, "ascending")])
    if not found.num_rows:
        return None
    truth = target_values(found.select([TARGET]), config.contract.columns[target])
    return Labelled(
        truth, *paired_predictions(config, found, tuple(np.unique(truth).tolist())), resample_units(config, found)
    )
