"""The stage scoring: predictions for observations, and for files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from configs.schema import PipelineConfig
from tasks.context import Execute, StageContext, direct
from tasks.errors import DataRejectedError, PerennialError
from tasks.progress import say
from tasks.records.base import Record
from tasks.records.data import BatchRecord, LandedFile, StagedBatch, rules_digest
from tasks.records.model import ModelRef
from tasks.records.report import ScoreReport
from tasks.scoring import unscored
from tasks.stores.files.outputs import Outputs, OutputSource
from tasks.stores.files.workspace import workspace
from tasks.stores.lake import staging
from tasks.stores.lake.delta import RowStream, TransactionRows
from tasks.stores.lake.schemas import PROVENANCE, SEQ
from tasks.stores.lake.tables import Lake
from tasks.stores.landing.addresses import Address
from tasks.stores.registry import models
from tasks.stores.state.audit import Audit
from tasks.stores.state.candidates import first_through

if TYPE_CHECKING:
    from tasks.scoring.predict import Scorer


class ScoringInputs(Record):
    """What the stage is given.

    Attributes:
        model: The version that scores.
        explicit_version: Whether it was selected by number: then it scores all batches that it has not scored.
            Otherwise it is the champion, and scores batches after the first training that have no predictions.
    """

    model: ModelRef
    explicit_version: bool = False


def run_scoring(context: StageContext, inputs: ScoringInputs, execute: Execute = direct) -> ScoreReport:
    """Score accepted observations, each once by one version."""
    with workspace(context.settings.state / "scoring") as folder:
        return execute(score_new, context, inputs, folder)


def score_new(context: StageContext, inputs: ScoringInputs, folder: Path) -> ScoreReport:
    """Score accepted batches of observations; temporary files go to `folder`."""
    config, settings, model = context.config, context.settings, inputs.model
    version, explicit_version = _version(model), inputs.explicit_version
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
            total += _score_group(lake, scorer, group, folder, context.now, explicit_version=explicit_version)
    return ScoreReport(
        version=version, rows=total, batches=tuple(batch.path for batch in unscored_batches), table="predictions"
    )


def _score_group(
    lake: Lake,
    scorer: Scorer,
    group: Sequence[BatchRecord],
    folder: Path,
    now: datetime,
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
        stream = score_stream(lambda: lake.scan("observations", columns, in_group, ahead=False), score, say)
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
    context: StageContext, model: ModelRef, file: LandedFile, output: Address | None
) -> ScoreReport | None:
    """Return the report of a file that this version has scored to this output before; None otherwise."""
    config, settings, version = context.config, context.settings, _version(model)
    report = _report(model, file, output)
    if output is not None:
        known = Outputs(settings).is_current(output, _output_record(config, model, file))
    else:
        known = bool(Lake(settings, config).transactions("scored", [_transaction_id(file, version)]))
    return report.model_copy(update={"known": True}) if known else None


def score_file(
    context: StageContext, model: ModelRef, batch: StagedBatch, output: Address | None, folder: Path
) -> ScoreReport:
    """Score a staged file to an output file, atomically, or to the lake's table `scored`, once.

    Args:
        context: The run's context.
        model: The version.
        batch: The file.
        output: The output file; None: the lake.
        folder: Folder for temporary files.

    Raises:
        DataRejectedError: the file can't be scored; the message has rows and columns.
        UsageError: the output can't be written.
    """
    from tasks.scoring.predict import check_rows, needed_columns, score_stream

    if batch.refusal:
        raise DataRejectedError(f"{batch.file.uri}: {batch.refusal}")
    config = context.config
    staged = Path(batch.staged)
    try:
        check_rows(staging.batches(staged), needed_columns(config, model), config)
    except DataRejectedError as error:
        raise DataRejectedError(f"{batch.file.uri}: {error}") from None
    scorer, settings, version = _scorer(config, model), context.settings, _version(model)
    output_record = _output_record(config, model, batch.file)
    report = _report(model, batch.file, output)
    if output is not None:
        stream = score_stream(lambda: staging.batches(staged), scorer.for_file, say)
        Outputs(settings).write(output, output_record, stream.schema, stream.batches(), folder)
        written = True
    else:
        score = partial(scorer.for_scored, source=batch.file.sha256, at=context.now)
        stream = score_stream(lambda: staging.batches(staged), score, say)
        part = TransactionRows(_transaction_id(batch.file, version), version, _spooled(stream, folder))
        written = bool(Lake(settings, config).append_parts_once("scored", [part]))
    return report.model_copy(update={"rows": batch.rows} if written else {"known": True})


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
