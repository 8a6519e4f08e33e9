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
from tasks.scoring import unscored
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
    from tasks.scoring.predict import ProgressReporter, Scorer


@task(name="score-new", cache_policy=NO_CACHE, **RETRIES)
def score_new(
    config: PipelineConfig,
    model: ModelRef,
    folder: Path,
    now: datetime,
    report_progress: ProgressReporter,
    *,
    explicit_version: bool,
) -> ScoreReport:
    """Score accepted batches of observations, each once by one version.

    Args:
        config: The pipeline.
        model: The version.
        folder: Folder for temporary files.
        now: The run's clock.
        report_progress: Called with progress messages.
        explicit_version: Whether the version was selected by number: then it scores all batches that it has not
            scored. Otherwise it is the champion, and scores batches after the first training without predictions.
    """
    settings, version = load_settings(), _version(model)
    lake = Lake(settings, config)
    batches = unscored.unscored(
        lake, version, None if explicit_version else first_through(Audit(settings), config.name)
    )
    unscored_batches = unscored.unscored_by(lake, version, batches)
    markers = [
        unscored.champion_marker(batch, version, lake.schema("predictions"))
        for batch in batches
        if batch not in unscored_batches
    ]
    if markers:
        lake.append_parts_once("predictions", markers)
    scorer = _scorer(config, model) if unscored_batches else None
    total = 0
    for group in unscored.commit_groups(unscored_batches):
        if scorer is not None:
            total += _score_group(lake, scorer, group, folder, now, report_progress, explicit_version=explicit_version)
    report = ScoreReport(
        version=version, rows=total, batches=tuple(batch.path for batch in unscored_batches), table="predictions"
    )
    _publish_page(config, report)
    return report


def _score_group(
    lake: Lake,
    scorer: Scorer,
    group: Sequence[BatchRecord],
    folder: Path,
    now: datetime,
    report_progress: ProgressReporter,
    *,
    explicit_version: bool,
) -> int:
    """Score batches in one commit; return their number of rows. Rows replaced since are not included."""
    from tasks.scoring.predict import needed_columns, score_stream, score_table

    columns = [*needed_columns(scorer.config, scorer.ref), *(field.name for field in PROVENANCE)]
    in_group, version = pc.field(SEQ).isin([batch.seq for batch in group]), _version(scorer.ref)
    score = partial(scorer.for_predictions, at=now)
    empty = lake.schema("predictions").empty_table()
    rows: int = sum(batch.num_rows for batch in lake.scan("observations", [SEQ], in_group, ahead=False))
    parts: list[TransactionRows] = []
    if rows and len(group) == 1:
        stream = score_stream(lambda: lake.scan("observations", columns, in_group, ahead=False), score, report_progress)
        parts += unscored.commit_parts(group[0], version, _spooled(stream, folder), explicit_version=explicit_version)
    else:
        scored = score_table(lake.read("observations", columns, in_group), score) if rows else empty
        for batch in group:
            batch_rows = scored.filter(pc.equal(scored.column(SEQ), batch.seq))
            parts += unscored.commit_parts(batch, version, batch_rows, explicit_version=explicit_version)
    lake.append_parts_once("predictions", parts)
    return rows


def _spooled(stream: RowStream, folder: Path) -> RowStream:
    """Spool scored rows to local disk, so that a retried commit neither predicts nor reads the lake."""
    path = folder / "scored.arrow"
    staging.write_batches(path, stream.schema, stream.batches())
    return RowStream(stream.schema, lambda: staging.batches(path))


def known_result(
    config: PipelineConfig, model: ModelRef, file: LandedFile, output: Address | None
) -> ScoreReport | None:
    """Return the report of a file that this version has scored to this output before; None otherwise."""
    settings, version = load_settings(), _version(model)
    report = _report(model, file, output)
    if output is not None:
        known = Outputs(settings).is_current(output, _output_record(config, model, file))
    else:
        known = bool(Lake(settings, config).transactions("scored", [_transaction_id(file, version)]))
    return report.model_copy(update={"known": True}) if known else None


@task(name="score-file", cache_policy=NO_CACHE, **RETRIES)
def score_file(
    config: PipelineConfig,
    model: ModelRef,
    batch: StagedBatch,
    output: Address | None,
    folder: Path,
    now: datetime,
    report_progress: ProgressReporter,
) -> ScoreReport:
    """Score a staged file to an output file, atomically, or to the lake's table `scored`, once.

    Args:
        config: The pipeline.
        model: The version.
        batch: The file.
        output: The output file; None: the lake.
        folder: Folder for temporary files.
        now: The run's clock.
        report_progress: Called with progress messages.

    Raises:
        DataRejectedError: the file can't be scored; the message has rows and columns.
        UsageError: the output can't be written.
    """
    from tasks.scoring.predict import check_rows, needed_columns, score_stream

    if batch.refusal:
        raise DataRejectedError(f"{batch.file.uri}: {batch.refusal}")
    staged = Path(batch.staged)
    try:
        check_rows(staging.batches(staged), needed_columns(config, model), config)
    except DataRejectedError as error:
        raise DataRejectedError(f"{batch.file.uri}: {error}") from None
    scorer, settings, version = _scorer(config, model), load_settings(), _version(model)
    output_record = _output_record(config, model, batch.file)
    report = _report(model, batch.file, output)
    if output is not None:
        stream = score_stream(lambda: staging.batches(staged), scorer.for_file, report_progress)
        Outputs(settings).write(output, output_record, stream.schema, stream.batches(), folder)
        written = True
    else:
        score = partial(scorer.for_scored, source=batch.file.sha256, at=now)
        stream = score_stream(lambda: staging.batches(staged), score, report_progress)
        part = TransactionRows(_transaction_id(batch.file, version), version, _spooled(stream, folder))
        written = bool(Lake(settings, config).append_parts_once("scored", [part]))
    report = report.model_copy(update={"rows": batch.rows} if written else {"known": True})
    _publish_page(config, report)
    return report


def _transaction_id(file: LandedFile, version: int) -> str:
    return f"{file.sha256}:{version}"


def _output_record(config: PipelineConfig, model: ModelRef, file: LandedFile) -> OutputSource:
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
        raise PerennialError(f"the model of run {model.run_id} is not a registered version; register it first.")
    return model.version


def _scorer(config: PipelineConfig, model: ModelRef) -> Scorer:
    from tasks.scoring.predict import Scorer

    return Scorer(config, model, models.load(Path(model.folder) / models.MODEL_FILE, config.training.trusted_types))


def _publish_page(config: PipelineConfig, report: ScoreReport) -> None:
    where = report.output or f"the table `{report.table}`"
    files = ", ".join(report.batches) or "no new batches"
    text = f"# {config.name}: scored\n\n{report.rows} rows by version {report.version} into {where}.\n\nFrom: {files}."
    create_markdown_artifact(text, key=artifact_key(config.name, "scoring"), description="scored")
