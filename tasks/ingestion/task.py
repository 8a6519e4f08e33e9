"""Prefect tasks of ingestion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

from prefect import task
from prefect.cache_policies import NO_CACHE

from configs.schema import Column, PipelineConfig, Source
from tasks.errors import DataRejectedError
from tasks.ingestion.discover import content_hash, new_files
from tasks.refs import Feed, LandedFile, ModelRef, StagedBatch
from tasks.stores import staging
from tasks.stores.lake import Lake
from tasks.stores.settings import load_settings

_GROUP_FILES = 64
_GROUP_BYTES = 32 << 20


@task(name="discover", cache_policy=NO_CACHE)
def discover(config: PipelineConfig) -> tuple[LandedFile, ...]:
    """Landed files that the ledger does not have. Those that a killed run had half taken come first."""
    settings = load_settings()
    lake = Lake(settings, config)
    lake.create()
    ledger = lake.ledger()
    found: list[LandedFile] = []
    taken: set[str] = set()
    for feed, source in _feeds(config):
        landing = settings.landing(source.landing)
        landing.mkdir(parents=True, exist_ok=True)
        files = new_files(landing, source, feed, ledger)
        found += files
        taken |= set(lake.transactions(feed, (file.sha256 for file in files)))
    return tuple(sorted(found, key=lambda file: file.sha256 not in taken))


def _feeds(config: PipelineConfig) -> Iterator[tuple[Feed, Source]]:
    yield "observations", config.source
    if config.labels is not None:
        yield "labels", config.labels


def groups(files: Sequence[LandedFile]) -> Iterator[tuple[LandedFile, ...]]:
    """Files in the order given, small neighbours of one feed together: each group is one commit."""
    group: list[LandedFile] = []
    for file in files:
        full = len(group) == _GROUP_FILES or sum(one.size for one in group) + file.size > _GROUP_BYTES
        if group and (full or group[0].feed != file.feed):
            yield tuple(group)
            group = []
        group.append(file)
    if group:
        yield tuple(group)


@task(name="read", task_run_name="read-{files[0].path}", cache_policy=NO_CACHE)
def read(config: PipelineConfig, files: Sequence[LandedFile]) -> tuple[StagedBatch, ...]:
    """Landed files, staged in the contract's types; or the reason why one can't be read."""
    return tuple(_stage(config, file) for file in files)


def _stage(config: PipelineConfig, file: LandedFile) -> StagedBatch:
    labels = file.feed == "labels" and config.labels is not None
    source: Source = config.labels if labels and config.labels is not None else config.source
    columns = config.label_columns if labels else config.observation_columns
    return _staged(config, file, source, columns, f"{config.name}-{file.sha256}.arrow")


def _staged(
    config: PipelineConfig, file: LandedFile, source: Source, columns: dict[str, Column], name: str
) -> StagedBatch:
    from tasks.ingestion.read import read_file

    try:
        table = read_file(Path(file.uri), source, columns, config.contract.timezone)
    except DataRejectedError as error:
        return StagedBatch(file=file, refusal=str(error))
    staged = load_settings().state / "staging" / name
    staging.write(staged, table)
    return StagedBatch(file=file, staged=str(staged), rows=table.num_rows)


@task(name="read-for-scoring", task_run_name="read-{source.name}", cache_policy=NO_CACHE)
def read_for_scoring(config: PipelineConfig, source: Path, champion: ModelRef) -> StagedBatch:
    """A file that is to be scored, staged in the contract's types: key and feature columns."""
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
    # An input's own ending counts, whatever format lands.
    own = config.source.model_copy(update={"format": None})
    return _staged(config, file, own, columns, f"{config.name}-score-{uuid4().hex}.arrow")
