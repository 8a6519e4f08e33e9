"""The champion scores a file, or the observations that have no prediction yet."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from prefect import flow

from configs.schema import PipelineConfig
from flows.context import clock, open_pipeline
from tasks.errors import UsageError
from tasks.ingestion.task import read_for_scoring
from tasks.refs import ModelRef, ScoreReport
from tasks.scoring.task import WRITERS, score_file, score_new
from tasks.stores.lake import Lake
from tasks.stores.settings import Settings
from tasks.stores.tracking import Tracking


@flow(name="score", flow_run_name="score-{pipeline}")
def score(
    pipeline: str, source: Path | None = None, output: Path | None = None, now: datetime | None = None
) -> ScoreReport:
    """Score a file into another, or, without one, new observations into the lake's `predictions`.

    Args:
        pipeline: The pipeline's name.
        source: The file to score: csv, parquet or jsonl with the key and the feature columns.
        output: Where the result goes, with `source`; its ending says how: .csv, .parquet or .jsonl.
        now: The run's clock; the present by default.
    """
    config, settings = open_pipeline(pipeline)
    champion = champion_of(config, settings)
    if source is None:
        Lake(settings, config).create()
        return score_new(config, champion, clock(now))
    if output is None or output.suffix not in WRITERS:
        raise UsageError(f"output: found {output}, expected a file that ends in {', '.join(WRITERS)}")
    if not source.is_file():
        raise UsageError(f"input: {source} is no file")
    return score_file(config, champion, read_for_scoring(config, source, champion), str(output))


def champion_of(config: PipelineConfig, settings: Settings) -> ModelRef:
    """The champion.

    Raises:
        UsageError: there is none yet.
    """
    champion = Tracking(settings, config.name).champion()
    if champion is None:
        raise UsageError(f"{config.name} has no champion yet: land data and run `perennial run {config.name}` first.")
    return champion
