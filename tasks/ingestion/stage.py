"""The stage ingestion: files that landed are found, read and staged in the contract's types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from configs.contract import Column
from configs.schema import PipelineConfig
from tasks.context import StageContext
from tasks.errors import DataRejectedError, UsageError
from tasks.ingestion import backfill
from tasks.ingestion.discover import feeds, location_of, locations, size_limit_error, unhashed_file
from tasks.ingestion.download_cache import DownloadCache, download_path
from tasks.ingestion.scoring_input import ScoringInput, check_unchanged, fetch_input
from tasks.ingestion.search import Search
from tasks.ingestion.sql import sql_feeds
from tasks.records.base import Record
from tasks.records.data import BatchRecord, Feed, LandedFile, StagedBatch, rules_digest
from tasks.records.model import ModelRef
from tasks.stores.lake.partial_commits import PartialCommit, delete_orphan_duplicates, partial_commits
from tasks.stores.lake.tables import Lake
from tasks.stores.landing.addresses import Address
from tasks.stores.landing.folder import open_landing
from tasks.stores.settings import Settings

_GROUP_FILES = 64
_GROUP_BYTES = 32 << 20


class Discovery(Record):
    """What landed: files to take, those of an interrupted run first; and messages on files that could not be opened."""

    files: tuple[LandedFile, ...]
    messages: tuple[str, ...]


def discover(context: StageContext, only: Sequence[str] | None = None) -> Discovery:
    """Landed files that the ledger does not have; what a database has that is new lands first.

    The data lock is held: what a killed run left is put in order.

    Args:
        context: The run's context.
        only: Paths of the files to look at; all by default. With some, no database is asked.
    """
    config, settings, now = context.config, context.settings, context.now
    _clear_staging(settings, config.name)
    lake = Lake(settings, config)
    ledger = lake.ledger()
    messages: list[str] = []
    feed_locations = locations(config, settings)
    for location in feed_locations:
        open_landing(location.address).prepare()
    for one in sql_feeds(config, settings, now).values():
        one.commit_range()
        if only is None:
            one.fetch(messages.append)
    interrupted = {str(one["batch"]) for feed in lake.feeds for one in lake.orphans(feed, ledger)}
    searches = [Search(config, settings, location, ledger, messages.append) for location in feed_locations]
    drafts, found = DownloadCache(settings, config.name), list[LandedFile]()
    for search in searches:
        # What a run was killed over is looked for in any case: it comes before all else.
        found += search.new_files(None if interrupted else only, drafts)
    if interrupted and not any(search.incomplete for search in searches):
        messages += _recover_missing_files(config, lake, ledger, {file.sha256 for file in found}, now)
    delete_orphan_duplicates(lake, ledger)
    wanted = [file for file in found if only is None or file.path in only or file.sha256 in interrupted]
    return Discovery(
        files=tuple(sorted(wanted, key=lambda file: file.sha256 not in interrupted)), messages=tuple(messages)
    )


def _clear_staging(settings: Settings, pipeline: str) -> None:
    """Remove what a killed run left of files on their way."""
    for name in (f"{pipeline}-[0-9a-f]*", f".{pipeline}-[0-9a-f]*"):
        for path in (settings.state / "staging").glob(name):
            path.unlink(missing_ok=True)


def _recover_missing_files(
    config: PipelineConfig, lake: Lake, ledger: Sequence[BatchRecord], present: set[str], now: datetime
) -> list[str]:
    """Enter batches whose rows came in before a run was killed and whose file has been taken away since."""
    messages = []
    for feed in lake.feeds:
        missing = {str(one["batch"]): one for one in lake.orphans(feed, ledger) if one["batch"] not in present}
        for batch, partial_commit in partial_commits(lake, feed, missing).items():
            record = _recovered_record(config, feed, missing[batch], partial_commit, now)
            lake.append_ledger([record])
            messages.append(f"{record.path}: {record.accepted} rows accepted, {record.reasons[0]}")
    return messages


def _recovered_record(
    config: PipelineConfig, feed: Feed, orphan: Mapping[str, object], partial_commit: PartialCommit, now: datetime
) -> BatchRecord:
    reason = "its file was removed after the run that ingested it was killed; its rejected rows are not in quarantine"
    return BatchRecord.model_validate(
        {
            "seq": orphan["seq"],
            "batch": orphan["batch"],
            "feed": feed,
            "path": f"(gone) {str(orphan['batch'])[:12]}",
            "size": 0,
            "mtime_ns": 0,
            "verdict": "accepted",
            "rules": rules_digest(config),
            "reasons": (reason,),
            "rows": len(partial_commit.rows) + len(partial_commit.duplicates),
            "accepted": len(partial_commit.rows),
            "quarantined": 0,
            "duplicates": len(partial_commit.duplicates),
            "superseded": partial_commit.superseded,
            "event_time_min": orphan["first"],
            "event_time_max": orphan["last"],
            "ingested_at": now,
        }
    )


def commit_groups(files: Sequence[LandedFile]) -> Iterator[tuple[LandedFile, ...]]:
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


def read(context: StageContext, files: Sequence[LandedFile]) -> tuple[StagedBatch, ...]:
    """Landed files, staged in the contract's types; or the reason why one can't be read.

    A file that changed or went away meanwhile is left out: the next run finds it as it is then.
    """
    staged = [_stage(context, file) for file in files]
    return tuple(batch for batch in staged if batch is not None)


def _stage(context: StageContext, file: LandedFile) -> StagedBatch | None:
    """A staged file, or None where it is not any more what was found."""
    from tasks.ingestion.staging import stage

    config, settings = context.config, context.settings
    source, columns = feeds(config)[file.feed], config.columns_of(file.feed)
    landing = open_landing(location_of(config, settings, file).address)
    name = f"{config.name}-{file.sha256}"
    refusal = size_limit_error(file, source)
    if refusal:
        return StagedBatch(file=file, refusal=refusal)
    try:
        with landing.local(file.path, download_path(settings, config.name, file)) as local:
            batch = stage(config, file, local, source, columns, settings.state / "staging" / f"{name}.arrow")
        now = landing.stat(file.path)
    except FileNotFoundError:
        return None
    return batch if (now.size, now.mtime_ns) == (file.size, file.mtime_ns) else None


def scored_columns(config: PipelineConfig, champion: ModelRef) -> dict[str, Column]:
    """Columns that scoring reads: the key's, and those the champion takes, as the contract has or once had them."""
    keys = {name: config.contract.columns[name] for name in config.contract.key}
    return {
        **keys,
        **{
            name: config.contract.columns.get(name, trained_column) for name, trained_column in champion.columns.items()
        },
    }


def fetch_for_scoring(context: StageContext, source: Address, folder: Path) -> ScoringInput:
    """A file that is to be scored, on local disk, known by its SHA-256; a remote one is fetched into the folder.

    Raises:
        UsageError: there is no such file, or it changed while it was read.
        DataRejectedError: it is too large.
    """
    return fetch_input(source, context.config.source.limits, folder / "fetched")


def read_for_scoring(
    context: StageContext, scoring_input: ScoringInput, champion: ModelRef, folder: Path
) -> StagedBatch:
    """A file that is to be scored, staged in the contract's types: key and feature columns.

    Raises:
        UsageError: it is gone, or changed since its content was looked at.
    """
    from tasks.ingestion.staging import stage_for_scoring

    config = context.config
    columns = scored_columns(config, champion)
    check_unchanged(scoring_input)
    batch = stage_for_scoring(config, scoring_input.file, Path(scoring_input.local), columns, folder / "staged.arrow")
    check_unchanged(scoring_input)
    return batch


def plan_backfill(
    context: StageContext, first: str | None, last: str | None, start: datetime | None, end: datetime | None
) -> list[backfill.BackfillStep]:
    """The steps of a backfill over what landed and did not come in yet: by names, or by event time."""
    config, settings = context.config, context.settings
    ledger = Lake(settings, config).ledger()
    files = [
        unhashed_file(open_landing(location.address), one, location.feed)
        for location in locations(config, settings)
        if location.origin == "landing"
        for one in Search(config, settings, location, ledger).unprocessed()
    ]
    if start is None and end is None:
        return backfill.steps(backfill.select_by_name(files, first, last))
    if config.contract.event_time is None:
        raise UsageError(f"{config.name} has no event time; give names of files instead of times")
    # What came in before counts, too: of a day whose observations are in, the labels may be left.
    spans: dict[backfill.FileKey, backfill.TimeSpan] = {
        (one.feed, one.path): (one.event_time_min, one.event_time_max)
        for one in ledger
        if one.event_time_min is not None and one.event_time_max is not None
    }
    for file in files:
        span = _event_span(context, file)
        if span is not None:
            spans[file.feed, file.path] = span
    return backfill.steps(backfill.select_by_event_time(files, spans, _as_utc(start), _as_utc(end)))


def _event_span(context: StageContext, file: LandedFile) -> backfill.TimeSpan | None:
    """First and last event of a file; None for labels without event times, and for what is gone or can't be read."""
    config, settings = context.config, context.settings
    source = feeds(config)[file.feed]
    if config.contract.event_time not in config.columns_of(file.feed) or size_limit_error(file, source):
        return None
    from tasks.ingestion.staging import event_span

    draft = settings.state / "staging" / f"{config.name}-{uuid4().hex}.span{Path(file.path).suffix}"
    try:
        with open_landing(settings.landing(source.landing)).local(file.path, draft) as local:
            return event_span(config, file, local, source, draft.with_suffix(".opened"))
    except (DataRejectedError, FileNotFoundError):
        return None


def _as_utc(timestamp: datetime | None) -> datetime | None:
    return timestamp.replace(tzinfo=UTC) if timestamp is not None and timestamp.tzinfo is None else timestamp
