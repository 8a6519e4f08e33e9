"""What people read of a training set in the Prefect UI."""

from __future__ import annotations

from datetime import UTC, datetime

from configs.schema import PipelineConfig
from tasks.records.data import TrainingSetRef

RANDOM_SPLIT_OF_TIMED_ROWS = (
    "rows have an event time, and the split is not by time: the holdout is of the same days as the training rows, and "
    "metrics on it are better than those on the days to come. Set split.kind: time, unless that is meant"
)


def training_set_page(config: PipelineConfig, ref: TrainingSetRef) -> str:
    """A training set in markdown: its rows, its split, its data."""
    boundary = ""
    if ref.split.boundary_us is not None:
        boundary_time = datetime.fromtimestamp(ref.split.boundary_us / 1e6, tz=UTC)
        boundary = f", from {boundary_time:%Y-%m-%d %H:%M} UTC on"
    warning = ""
    if ref.split.kind != "time" and config.contract.event_time is not None:
        warning = f"\n\nWarning: {RANDOM_SPLIT_OF_TIMED_ROWS}."
    return (
        f"# {config.name}: training set\n\n"
        f"{ref.train_rows} training rows, {ref.holdout_rows} holdout rows ({ref.split.kind} split{boundary}).\n\n"
        f"Dataset `{ref.dataset.digest[:12]}`, through batch {ref.dataset.through_seq}.{warning}"
    )
