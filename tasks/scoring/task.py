"""Prefect tasks of scoring."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.compute as pc
from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from configs.schema import PipelineConfig
from tasks.errors import DataRejectedError, PerennialError
from tasks.records.base import artifact_key
from tasks.records.data import BatchRecord, LandedFile, StagedBatch, rules_digest
from tasks.records.model import ModelRef
from tasks.records.report import ScoreReport
from tasks.retry import RETRIES
from tasks.scoring import due
from tasks.stores.files.outputs import Outputs, OutputSource
from tasks.stores.lake import staging
from tasks.stores.lake.delta import RowStream, TransactionRows
from tasks.stores.lake.schemas import PROVENANCE, SEQ
from tasks.stores.lake.tables import Lake
from tasks.stores.landing.addresses import Address
from tasks.stores.registry import models
from tasks.stores.settings import load_settings
from tasks.stores.state.audit import Audit
from tasks.stores.state.candidates import first_through

if TYPE_CHECKING:
    from tasks.scoring.predict import Scorer, Tell


@task(name="score-new", cache_policy=NO_CACHE, **RETRIES)
def score_new(
    config: PipelineConfig, model: ModelRef, folder: Path, now: datetime, tell: Tell, *, asked: bool
) -> ScoreReport:
    """Score accepted batches of observations, each once by one version.

    Args:
        config: The pipeline.
        model: The version.
        folder: For rows on their way.
        now: The run's clock.
        tell: Told how far it is, on long ones.
        asked: Whether the version was asked for by its number: it scores all that it has not scored. Else it is the
            champion, and scores what came after the first training and has no prediction yet.
    """
    settings, version = load_settings(), _version(model)
    lake = Lake(settings, config)
    found = due.unscored(lake, version, None if asked else first_through(Audit(settings), config.name))
    fresh = due.not_by(lake, version, found)
    notes = [due.noted(one, version, lake.schema("predictions")) for one in found if one not in fresh]
    if notes:
        lake.append_parts_once("predictions", notes)
    scorer = _scorer(config, model) if fresh else None
    total = 0
    for group in due.groups(fresh):
        if scorer is not None:
            total += _score_group(lake, scorer, group, folder, now, tell, asked=asked)
    report = ScoreReport(version=version, rows=total, batches=tuple(one.path for one in fresh), table="predictions")
    _tell(config, report)
    return report


def _score_group(
    lake: Lake, scorer: Scorer, group: Sequence[BatchRecord], folder: Path, now: datetime, tell: Tell, *, asked: bool
) -> int:
    """Score batches in one commit; how many rows they have. What replaced rows of theirs since is not among them."""
    from tasks.scoring.predict import needed_columns, scored_in_pieces, streamed

    columns = [*needed_columns(scorer.config, scorer.ref), *(field.name for field in PROVENANCE)]
    mine, version = pc.field(SEQ).isin([one.seq for one in group]), _version(scorer.ref)
    score = partial(scorer.for_predictions, at=now)
    empty = lake.schema("predictions").empty_table()
    rows: int = sum(batch.num_rows for batch in lake.scan("observations", [SEQ], mine, ahead=False))
    parts: list[TransactionRows] = []
    if rows and len(group) == 1:
        stream = streamed(lambda: lake.scan("observations", columns, mine, ahead=False), score, tell)
        parts += due.parts(group[0], version, _kept(stream, folder), asked=asked)
    else:
        scored = scored_in_pieces(lake.read("observations", columns, mine), score) if rows else empty
        for one in group:
            own = scored.filter(pc.equal(scored.column(SEQ), one.seq))
            parts += due.parts(one, version, own, asked=asked)
    lake.append_parts_once("predictions", parts)
    return rows


def _kept(stream: RowStream, folder: Path) -> RowStream:
    """Scored rows on local disk: within a commit, which may be tried again, nothing is predicted, and no lake read."""
    path = folder / "scored.arrow"
    staging.write_batches(path, stream.schema, stream.batches())
    return RowStream(stream.schema, lambda: staging.batches(path))


def known_result(
    config: PipelineConfig, model: ModelRef, file: LandedFile, output: Address | None
) -> ScoreReport | None:
    """The report of a file that the same version scored into the same place before; None where it did not."""
    settings, version = load_settings(), _version(model)
    report = _report(model, file, output)
    if output is not None:
        known = Outputs(settings).is_current(output, _made(config, model, file))
    else:
        known = bool(Lake(settings, config).transactions("scored", [_once(file, version)]))
    return report.model_copy(update={"known": True}) if known else None


@task(name="score-file", cache_policy=NO_CACHE, **RETRIES)
def score_file(
    config: PipelineConfig,
    model: ModelRef,
    batch: StagedBatch,
    output: Address | None,
    folder: Path,
    now: datetime,
    tell: Tell,
) -> ScoreReport:
    """Score a staged file into another, whole or not at all, or into the lake's `scored`, once.

    Args:
        config: The pipeline.
        model: The version.
        batch: The file.
        output: Where the rows go; None: into the lake.
        folder: For rows on their way.
        now: The run's clock.
        tell: Told how far it is, on long ones.

    Raises:
        DataRejectedError: the file can't be scored; it says which rows and columns.
        UsageError: the output can't be written.
    """
    from tasks.scoring.predict import needed_columns, refuse_unusable, streamed

    if batch.refusal:
        raise DataRejectedError(f"{batch.file.uri}: {batch.refusal}")
    staged = Path(batch.staged)
    try:
        refuse_unusable(staging.batches(staged), needed_columns(config, model), config)
    except DataRejectedError as error:
        raise DataRejectedError(f"{batch.file.uri}: {error}") from None
    scorer, settings, version = _scorer(config, model), load_settings(), _version(model)
    made = _made(config, model, batch.file)
    report = _report(model, batch.file, output)
    if output is not None:
        stream = streamed(lambda: staging.batches(staged), scorer.for_file, tell)
        Outputs(settings).write(output, made, stream.schema, stream.batches(), folder)
        written = True
    else:
        score = partial(scorer.for_scored, source=batch.file.sha256, at=now)
        stream = streamed(lambda: staging.batches(staged), score, tell)
        part = TransactionRows(_once(batch.file, version), version, _kept(stream, folder))
        written = bool(Lake(settings, config).append_parts_once("scored", [part]))
    report = report.model_copy(update={"rows": batch.rows} if written else {"known": True})
    _tell(config, report)
    return report


def _once(file: LandedFile, version: int) -> str:
    return f"{file.sha256}:{version}"


def _made(config: PipelineConfig, model: ModelRef, file: LandedFile) -> OutputSource:
    return OutputSource(
        pipeline=config.name,
        input=file.sha256,
        version=_version(model),
        run_id=model.run_id,
        rules=rules_digest(config),
    )


def _report(model: ModelRef, file: LandedFile, output: Address | None) -> ScoreReport:
    return ScoreReport(
        version=_version(model),
        rows=0,
        batches=(file.path,),
        output="" if output is None else str(output),
        table="" if output is not None else "scored",
        input_sha256=file.sha256,
    )


def _version(model: ModelRef) -> int:
    if model.version is None:
        raise PerennialError(f"the model of run {model.run_id} is no registered version; register it first.")
    return model.version


def _scorer(config: PipelineConfig, model: ModelRef) -> Scorer:
    from tasks.scoring.predict import Scorer

    return Scorer(config, model, models.load(Path(model.folder) / models.MODEL_FILE, config.training.trusted_types))


def _tell(config: PipelineConfig, report: ScoreReport) -> None:
    where = report.output or f"the table `{report.table}`"
    files = ", ".join(report.batches) or "nothing new"
    text = f"# {config.name}: scored\n\n{report.rows} rows by version {report.version} into {where}.\n\nFrom: {files}."
    create_markdown_artifact(text, key=artifact_key(config.name, "scoring"), description="scored")
