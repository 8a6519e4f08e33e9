"""The evidence of a rollout that is watched on what the service was asked: from the lake's table `served`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from configs.schema import PipelineConfig
from tasks.features.frame import target_values
from tasks.features.training_set import resample_units
from tasks.records.data import Feed
from tasks.release.rollout.evidence import Evidence, Labelled, Pairs
from tasks.release.rollout.paired import (
    CHAMPION_PREFIX,
    join_pairs,
    milliseconds,
    paired_predictions,
    prediction_names,
    valid_predictions,
)
from tasks.stores.files.hashing import row_hash
from tasks.stores.lake.schemas import AT, ERROR, POSITION, PREDICT_MS, REQUEST, ROLE, ROW_ID, SEQ, TIMESTAMP
from tasks.stores.lake.tables import Lake
from tasks.stores.state.rollouts import Rollout

# Newest rows looked at: enough to tell, and a fault that comes late is not drowned in what came before.
NEWEST = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ROW_KEY = [REQUEST, POSITION]
_EARLIER = timedelta(minutes=5)  # the champion's answer for the same row may bear an earlier time


def evidence(config: PipelineConfig, lake: Lake, rollout: Rollout) -> Evidence:
    """What the table tells of the present step, and of the labels of the whole rollout."""
    kind = rollout.exposure.kind
    asked = _version(rollout.version, rollout.since, (kind,))
    at, answered = _counted(lake, asked)
    if not at.size:
        return Evidence(answered=0, asked=0, failed=0)
    from_us = int(np.partition(at, -NEWEST)[-NEWEST]) if at.size > NEWEST else int(at.min())
    mine = _rows(lake, _version(rollout.version, _timestamp(from_us), (kind,)))
    good = valid_predictions(mine)
    theirs = _champion(lake, rollout, ("champion",) if kind == "shadow" else ("control",), _timestamp(from_us))
    table = join_pairs(good, theirs, _ROW_KEY)
    return Evidence(
        answered=answered,
        asked=mine.num_rows,
        failed=mine.num_rows - good.num_rows,
        pairs=_pairs(config, table, _waited_ms(lake, rollout, _timestamp(from_us))) if table.num_rows else None,
        labelled=_labelled(config, lake, rollout),
    )


class _RowQuery(NamedTuple):
    """Which rows are asked for; and what files may have some of them, in SQL: there may be thousands of a day."""

    where: pc.Expression
    files: str


def _version(version: int, since: datetime, roles: tuple[str, ...]) -> _RowQuery:
    """Rows of a version, in some roles, from a moment on."""
    found = (pc.field("model_version") == version) & (pc.field(AT) >= pa.scalar(since, TIMESTAMP))
    return _RowQuery(found & pc.field(ROLE).isin(roles), f"{AT} >= '{since.astimezone(UTC).isoformat()}'")


def _counted(lake: Lake, asked: _RowQuery) -> tuple[npt.NDArray[np.int64], int]:
    """When each row was asked, microseconds since 1970; and how many of them were answered."""
    times, answered = [np.array([], dtype=np.int64)], 0
    for batch in lake.scan("served", [AT, ERROR, "prediction"], asked.where, files=asked.files):
        table = pa.Table.from_batches([batch])
        times.append(table.column(AT).cast(pa.int64()).to_numpy())
        answered += valid_predictions(table).num_rows
    return np.concatenate(times), answered


def _rows(
    lake: Lake, asked: _RowQuery, more: Sequence[str] = (), keep: Callable[[pa.Table], pa.Table] = lambda one: one
) -> pa.Table:
    """Rows with what is compared of them, each place in a request once.

    Args:
        lake: The pipeline's.
        asked: Which rows.
        more: Further columns.
        keep: Chooses among them, piece by piece.
    """
    opened = lake.open("served")
    names = [] if opened is None else pa.schema(opened.schema().to_arrow()).names
    wanted = [*_ROW_KEY, PREDICT_MS, ERROR, *prediction_names(names), *more]
    columns = [name for name in dict.fromkeys(wanted) if name in names]
    found = lake.scan("served", columns, asked.where, files=asked.files)
    pieces = [keep(_plain(pa.Table.from_batches([batch]))) for batch in found]
    table = pa.concat_tables(pieces) if pieces else _plain(lake.read("served", columns, asked.where, files=asked.files))
    first = table.append_column("_n", pa.array(np.arange(table.num_rows))).group_by(_ROW_KEY).aggregate([("_n", "min")])
    return table.take(first.column("_n_min"))


def _plain(table: pa.Table) -> pa.Table:
    """Rewritten files hold texts as views, which Arrow can't join."""
    fields = [one.with_type(pa.string()) if pa.types.is_string_view(one.type) else one for one in table.schema]
    return table.cast(pa.schema(fields))


def _champion(lake: Lake, rollout: Rollout, roles: tuple[str, ...], since: datetime) -> pa.Table:
    return valid_predictions(_rows(lake, _version(rollout.champion, since - _EARLIER, roles)))


def _pairs(config: PipelineConfig, table: pa.Table, waited: npt.NDArray[np.float64]) -> Pairs:
    challenger, champion = paired_predictions(config, table)
    once = _requests(table)
    return Pairs(challenger, champion, milliseconds(once, ""), milliseconds(once, CHAMPION_PREFIX), waited)


def _requests(table: pa.Table) -> pa.Table:
    """One row of each request: those that are predicted together take the same time."""
    numbered = table.select([REQUEST]).append_column("_n", pa.array(np.arange(table.num_rows)))
    return table.take(numbered.group_by(REQUEST).aggregate([("_n", "min")]).column("_n_min"))


def _waited_ms(lake: Lake, rollout: Rollout, since: datetime) -> npt.NDArray[np.float64]:
    """The champion's time for each request that callers waited for, beside a canary; none in a shadow."""
    if rollout.exposure.kind == "shadow":
        return np.array([])
    asked = _version(rollout.champion, since, ("champion",))
    rows = _plain(lake.read("served", [REQUEST, PREDICT_MS], asked.where, files=asked.files))
    return milliseconds(_requests(rows), "")


def _labelled(config: PipelineConfig, lake: Lake, rollout: Rollout) -> Labelled | None:
    """Rows of the whole rollout whose key has a label by now; None where there are too few."""
    needed = rollout.plan.checks.min_labels
    known = _labels(config, lake)
    if not config.contract.key or known.num_rows < needed:
        return None
    keys = [*config.contract.key]
    asked = _version(rollout.version, rollout.began, ("shadow", "canary"))
    wanted = list(dict.fromkeys([*keys, *_unit_columns(config)]))
    ids = known.column(ROW_ID).combine_chunks()

    def labelled(table: pa.Table) -> pa.Table:
        found = table.append_column(ROW_ID, pa.array(row_hash(table, keys)))
        return found.filter(pc.is_in(found.column(ROW_ID), value_set=ids))

    mine = valid_predictions(_rows(lake, asked, [*wanted, AT], labelled))
    if mine.num_rows < needed:
        return None
    mine = mine.sort_by([(AT, "descending")]).slice(0, NEWEST)
    theirs = _champion(lake, rollout, ("champion", "control"), pc.min(mine.column(AT)).as_py())
    table = join_pairs(mine, theirs, _ROW_KEY)
    return _labelled_pairs(config, table.join(known, keys=ROW_ID, join_type="inner")) if table.num_rows else None


def _labelled_pairs(config: PipelineConfig, table: pa.Table) -> Labelled:
    """Joined rows with their label. Rows of one key hang together, unless days or groups are drawn."""
    table = table.sort_by([(name, "ascending") for name in _ROW_KEY])
    column = config.contract.columns[config.contract.target]
    truth = target_values(table.select(["_label"]), column)
    challenger, champion = paired_predictions(config, table, tuple(np.unique(truth).tolist()))
    units = resample_units(config, table) if set(_unit_columns(config)) <= set(table.column_names) else None
    return Labelled(truth, challenger, champion, np.asarray(table.column(ROW_ID)) if units is None else units)


def _unit_columns(config: PipelineConfig) -> list[str]:
    """Columns that the bootstrap's unit goes by."""
    unit = config.evaluation.comparison.unit
    if unit == "day" and config.contract.event_time:
        return [config.contract.event_time]
    return [config.split.column] if unit == "group" and config.split.kind == "group" else []


def _labels(config: PipelineConfig, lake: Lake) -> pa.Table:
    """`_row_id` and `_label` of every row whose label is known, the newest label of each."""
    target = config.contract.target
    feed: Feed = "observations" if config.labels is None else "labels"
    found = lake.read(feed, [ROW_ID, SEQ, target], where=pc.is_valid(pc.field(target)))
    order = found.sort_by([(ROW_ID, "ascending"), (SEQ, "ascending")])
    ids = order.column(ROW_ID).to_numpy()
    last = np.append(ids[1:] != ids[:-1], True) if ids.size else np.array([], dtype=bool)
    kept = order.filter(pa.array(last)).select([ROW_ID, target]).rename_columns([ROW_ID, "_label"])
    return _plain(kept)


def _timestamp(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
