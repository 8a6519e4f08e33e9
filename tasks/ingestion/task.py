"""Prefect tasks of ingestion."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from prefect import task

from configs.schema import PipelineConfig
from tasks.errors import DataRejectedError
from tasks.ingestion.discover import content_hash, new_files
from tasks.refs import Feed, LandedFile, ModelRef, StagedBatch
from tasks.stores import staging
from tasks.stores.lake import Lake
from tasks.stores.settings import load_settings


@task(name="discover")
def discover(config: PipelineConfig) -> tuple[LandedFile, ...]:
    """Landed files that the ledger does not have. Those that a killed run had half taken come first."""
    settings = load_settings()
    lake = Lake(settings, config)
    lake.create()
    ledger = lake.ledger()
    found: list[LandedFile] = []
    for feed, source in (("observations", config.source), ("labels", config.labels)):
        if source is not None:
            landing = settings.landing(source.landing)
            landing.mkdir(parents=True, exist_ok=True)
            found += new_files(landing, source, _feed(feed), ledger)
    taken = {file.sha256 for file in found if lake.transaction(file.feed, file.sha256) is not None}
    return tuple(sorted(found, key=lambda file: file.sha256 not in taken))


def _feed(name: str) -> Feed:
    return "observations" if name == "observations" else "labels"


@task(name="read", task_run_name="read-{file.path}")
def read(config: PipelineConfig, file: LandedFile) -> StagedBatch:
    """A landed file, staged in the contract's types; or the reason why it can't be read."""
    from tasks.ingestion.read import read_file

    source = config.source if file.feed == "observations" or config.labels is None else config.labels
    columns = config.observation_columns if file.feed == "observations" else config.label_columns
    try:
        table = read_file(Path(file.uri), source, columns, config.contract.timezone)
    except DataRejectedError as error:
        return StagedBatch(file=file, refusal=str(error))
    staged = load_settings().state / "staging" / f"{config.name}-{file.sha256}.arrow"
    staging.write(staged, table)
    return StagedBatch(file=file, staged=str(staged), rows=table.num_rows)


@task(name="read-for-scoring", task_run_name="read-{source.name}")
def read_for_scoring(config: PipelineConfig, source: Path, champion: ModelRef) -> StagedBatch:
    """A file that is to be scored, staged in the contract's types: key and feature columns."""
    from tasks.ingestion.read import read_file

    names = list(dict.fromkeys([*config.contract.key, *champion.feature_columns]))
    columns = {name: config.contract.columns[name] for name in names}
    status = source.stat()
    file = LandedFile(
        feed="observations",
        path=source.name,
        uri=str(source),
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        sha256=content_hash(source, "observations"),
    )
    try:
        # An input's own ending counts, whatever format lands.
        table = read_file(source, config.source.model_copy(update={"format": None}), columns, config.contract.timezone)
    except DataRejectedError as error:
        return StagedBatch(file=file, refusal=str(error))
    staged = load_settings().state / "staging" / f"{config.name}-score-{uuid4().hex}.arrow"
    staging.write(staged, table)
    return StagedBatch(file=file, staged=str(staged), rows=table.num_rows)
