"""What the sensor knows of all pipelines, and what it tells Prefect of them. The clock is passed in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

from pydantic import JsonValue
from watchfiles.main import FileChange

from configs.load import ConfigError, folder, load, names
from configs.schema import PipelineConfig
from perennial.ops.sensor.feed import FeedWatch, Problems, log
from tasks.errors import PerennialError
from tasks.ingestion.debounce import Stamp
from tasks.ingestion.discover import feeds, processed_batches
from tasks.records.data import rules_digest
from tasks.stores.lake.tables import Lake
from tasks.stores.settings import Settings
from tasks.stores.state.contents import Contents
from tasks.stores.state.outbox import Outbox

GAP_SECONDS = 1.0  # between two events of one pipeline
PATIENCE_SECONDS = 10.0  # before something that failed is tried again
_NAMED = 5


class PipelineWatch:
    """The files of one pipeline."""

    def __init__(self, config: PipelineConfig, settings: Settings, problems: Problems) -> None:
        self.name = config.name
        self.feeds = [
            FeedWatch(feed, source, settings.landing(source.landing), problems, config.name)
            for feed, source in feeds(config).items()
        ]
        self.quiet_until = 0.0
        self.tried_again_at = 0.0
        self._rules = rules_digest(config)
        self._settings = settings
        self._lake = Lake(settings, config)
        self._learned = False

    def look(self, now: float, *, listing: bool) -> None:
        """Look at the files whose time is over, or at all."""
        if not self._learned:
            self._learn()
            self._learned = listing = True
        for one in self.feeds:
            if listing:
                one.list_all(now)
            one.answered(now)
            one.check(now)

    def news(self, now: float) -> dict[FeedWatch, dict[str, Stamp]]:
        """Files to tell of now, by feed: settled, and not in the ledger."""
        if now < self.quiet_until or not self._settled():
            return {}
        self._learn()
        return self._settled()

    def _settled(self) -> dict[FeedWatch, dict[str, Stamp]]:
        found = {one: one.files.stable() for one in self.feeds}
        return {one: files for one, files in found.items() if files}

    def _learn(self) -> None:
        """Take what the ledger knows as reported."""
        ledger = self._lake.ledger()
        for one in self.feeds:
            batches = processed_batches(ledger, one.feed, self._rules)
            one.files.mark_reported((batch.path, (batch.size, batch.mtime_ns)) for batch in batches)
            came = {batch.batch for batch in batches}
            same = Contents(self._settings, self.name, one.feed).known().items()
            one.files.mark_reported(
                (file.path, (file.size, file.mtime_ns)) for file, content in same if content.sha256 in came
            )


class Sensor:
    """All pipelines' landed files, from the first look to the event that tells of them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._problems = Problems()
        self._pipelines: dict[str, PipelineWatch] = {}
        self._read: dict[str, Stamp] = {}
        self._outbox: Outbox | None = None

    def refresh(self) -> None:
        """Read the YAMLs that are new or changed, and forget pipelines whose YAML is gone or broken."""
        present = {name: _stamp(folder() / f"{name}.yaml") for name in names()}
        for name in self._read.keys() - present.keys():
            del self._read[name]
            self._pipelines.pop(name, None)
            self._problems.over(name)
        for name, stamp in present.items():
            if self._read.get(name) != stamp:
                self._read[name] = stamp
                self._open(name)

    def _open(self, name: str) -> None:
        self._pipelines.pop(name, None)
        try:
            config = load(name)
            if config.enabled:
                self._pipelines[name] = PipelineWatch(config, self._settings, self._problems)
        except (ConfigError, PerennialError) as error:
            self._problems.tell(name, f"not watched: {error}")
        else:
            self._problems.over(name)

    def folders(self) -> dict[str, Stamp]:
        """Local landing folders, made where they are missing; with each, device and inode: one made anew differs."""
        found = {}
        for one in self._feeds():
            if one.folder is None:
                continue
            try:
                one.landing.prepare()
                status = one.folder.stat()
            except (PerennialError, OSError) as error:
                self._problems.tell(f"{one.what} folder", str(error))
            else:
                self._problems.over(f"{one.what} folder")
                found[one.landing.address] = (status.st_dev, status.st_ino)
        return found

    def notice(self, changes: Iterable[FileChange], now: float) -> None:
        """Something happened in local landing folders."""
        feeds_of: dict[str, list[FeedWatch]] = {}
        for one in self._feeds():
            if one.folder is not None:
                feeds_of.setdefault(one.landing.address, []).append(one)
        noticed: dict[FeedWatch, list[FileChange]] = {}
        for change, path in sorted(changes):
            for parent in PurePath(path).parents:
                for one in feeds_of.get(str(parent), ()):
                    noticed.setdefault(one, []).append((change, PurePath(path).relative_to(parent).as_posix()))
        for one, found in noticed.items():
            one.notice(found, now)

    def work(self, now: float, *, listing: bool = False) -> int:
        """Look at files, and put an event into the outbox for each pipeline that has news; how many events.

        Whatever befalls one pipeline is reported, and it is tried again later; the others go on.
        """
        events = 0
        for one in self._pipelines.values():
            if now < one.tried_again_at:
                continue
            try:
                one.look(now, listing=listing)
                events += self._tell(one, now)
            except Exception as error:
                one.tried_again_at = now + PATIENCE_SECONDS
                self._problems.tell(f"{one.name} files", _short(error))
            else:
                self._problems.over(f"{one.name} files")
        return events

    def _tell(self, one: PipelineWatch, now: float) -> int:
        news = one.news(now)
        if not news:
            return 0
        paths = [path for files in news.values() for path in files]
        payload: dict[str, JsonValue] = {
            "pipeline": one.name,
            "files": len(paths),
            "feeds": {feed.feed: len(files) for feed, files in news.items()},
            "names": list(paths[:_NAMED]),
        }
        self._events().put("perennial.batch.landed", one.name, payload)
        for feed, files in news.items():
            feed.files.mark_reported(files.items())
        one.quiet_until = now + GAP_SECONDS
        log.info("%s: %d landed: %s%s", one.name, len(paths), ", ".join(paths[:_NAMED]), " …" * (len(paths) > _NAMED))
        return 1

    def send(self) -> None:
        """Send the events that wait. What Prefect does not take now is sent with the next call."""
        try:
            sent = self._events().send()
        except Exception as error:
            self._problems.tell("outbox", _short(error))
            return
        self._problems.over("outbox")
        if sent.problem:
            self._problems.tell("Prefect", f"{sent.problem}; events are kept and sent later")
        else:
            self._problems.over("Prefect")

    def _events(self) -> Outbox:
        if self._outbox is None:
            self._outbox = Outbox(self._settings)
        return self._outbox

    def _feeds(self) -> Iterator[FeedWatch]:
        for one in self._pipelines.values():
            yield from one.feeds


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _short(error: Exception) -> str:
    text = (str(error).splitlines() or [""])[0][:300]
    return text if isinstance(error, PerennialError) else f"{type(error).__name__}: {text}"
