"""Follows the registry's aliases: loads what they point to beside what serves, and puts it in its place in one step."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pydantic import ValidationError

from configs.load import ConfigError, folder, load, names
from configs.schema import PipelineConfig
from perennial.serving.loaded import LoadedModel, RefusedModelError, ServedVersions, served_versions
from perennial.serving.metrics import Metrics
from perennial.serving.report import report_rejected
from perennial.serving.settings import ServeSettings
from tasks.errors import UsageError
from tasks.records.base import NewerRecordError
from tasks.records.rollout import Exposure
from tasks.stores.registry.aliases import AliasedVersion, Aliases, connect
from tasks.stores.registry.artifacts import MissingFilesError, RegistryError
from tasks.stores.registry.local_copy import FetchError, LocalCopy
from tasks.stores.settings import Settings

_log = logging.getLogger("perennial.serving")
_AGAIN_SECONDS = 15.0
_CONFIG_SECONDS = 2.0
_Key = tuple[int, str]


class _Rejection(NamedTuple):
    at: float
    reason: str


class PipelineSlot:
    """One pipeline's place in the service.

    Attributes:
        live: What answers; None before there is a champion that can be served.
        pointed: What the aliases pointed to when they were last looked at.
        problem: Why they are not followed; empty where they are.
    """

    def __init__(self, config: PipelineConfig) -> None:
        self.config = config
        self.versions: ServedVersions | None = None
        self.aliases = Aliases()
        self.problem = ""
        self.loaded: dict[_Key, LoadedModel] = {}
        self.rejected: dict[_Key, _Rejection] = {}

    def due(self, aliases: Aliases) -> bool:
        """Whether something is to be done: an alias was moved, or what could not be served is to be tried again."""
        again = time.monotonic() - _AGAIN_SECONDS
        return aliases != self.aliases or any(one.at < again for one in self.rejected.values())


class Follower:
    """Keeps the slots of all pipelines as the registry has them.

    Args:
        settings: Says where the registry is.
        serve: How often to look, and within what grace a move must be in force.
        metrics: Counts swaps.
        only: The pipelines to serve; all that have a YAML by default.
        changed: Called after each swap, in the follower's thread.

    Raises:
        UsageError: one of the pipelines has no YAML, or one with a mistake.
    """

    def __init__(
        self,
        settings: Settings,
        serve: ServeSettings,
        metrics: Metrics,
        only: tuple[str, ...],
        changed: Callable[[], None],
    ) -> None:
        self._settings, self._serve, self._metrics, self._only, self._changed = settings, serve, metrics, only, changed
        self._registry = connect(settings)
        self._copy = LocalCopy(settings)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)
        self._stamps: dict[str, int] = {}
        self._configs_read_at = 0.0
        self.slots: dict[str, PipelineSlot] = {}
        self.configs: dict[str, PipelineConfig] = {}
        self.reachable = True
        for name in only:
            try:
                load(name)
            except ConfigError as error:
                raise UsageError(str(error)) from None

    def start(self) -> None:
        """Load what there is, then follow in the background."""
        self._poll()
        self._thread.start()

    def stop(self) -> None:
        """Stop polling."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def _follow(self) -> None:
        while not self._stop.wait(self._serve.poll_seconds):
            try:
                self._poll()
            except Exception:  # whatever one look meets, what serves goes on, and the next look comes
                _log.exception("polling the registry failed")

    def _poll(self) -> None:
        self._read_configs()
        found: dict[str, Aliases] = {}
        try:
            found = self._registry.read()
            if not self.reachable:
                _log.info("the registry is reachable again")
            self.reachable = True
        except RegistryError as error:
            if self.reachable:
                _log.warning(
                    "the registry can't be reached: serving continues from the local copy",
                    extra={"problem": str(error)},
                )
            self.reachable = False
        self._metrics.reachable.set(1 if self.reachable else 0)
        for slot in list(self.slots.values()):
            self._update_slot(slot, found.get(slot.config.name, Aliases()))

    def _update_slot(self, slot: PipelineSlot, aliases: Aliases) -> None:
        if aliases.champion is None:
            # Out of reach, or the alias was taken away: what served last goes on, from memory or from disk.
            aliases = self._copy.last_aliases(slot.config.name) if slot.versions is None else slot.aliases
        if aliases.champion is None or not slot.due(aliases):
            return
        began = time.monotonic()
        wanted = [(one.version, one.location) for one in aliases if one is not None]
        slot.rejected = {key: one for key, one in slot.rejected.items() if key in wanted}
        champion = self._load(slot, aliases.champion, "champion")
        if champion is None:
            champion = None if slot.versions is None else slot.versions.champion
        challenger, exposure = self._challenger(slot, aliases)
        before = slot.versions
        slot.aliases = aliases
        slot.problem = "; ".join(f"version {key[0]} is refused: {one.reason}" for key, one in slot.rejected.items())
        if champion is None:
            return
        slot.versions = served_versions(slot.config, champion, challenger, exposure)
        slot.loaded = self._retained(slot.loaded, (champion, challenger), before)
        if champion.version == aliases.champion.version:
            named = aliases.challenger if challenger is not None else None
            self._copy.save_aliases(slot.config.name, Aliases(aliases.champion, named))
        self._report_swap(slot, before, time.monotonic() - began)

    @staticmethod
    def _retained(
        held: dict[_Key, LoadedModel], now: Sequence[LoadedModel | None], before: ServedVersions | None
    ) -> dict[_Key, LoadedModel]:
        """What stays in memory: what serves, and what served last, as the way back is to take no time."""
        left = [] if before is None else [one for one in (before.champion, before.challenger) if one not in now]
        if not left:  # nothing went: what was kept before stays
            left = [one for one in held.values() if one not in now]
        wanted = [*(one for one in now if one is not None), *left[:1]]
        return {key: one for key, one in held.items() if any(one is other for other in wanted)}

    def _challenger(self, slot: PipelineSlot, aliases: Aliases) -> tuple[LoadedModel | None, Exposure | None]:
        named, champion = aliases.challenger, aliases.champion
        if named is None or champion is None or named.version == champion.version or not named.exposure:
            return None, None
        try:
            exposure = Exposure.model_validate_json(named.exposure)
        except (ValidationError, NewerRecordError):
            _log.warning("the challenger's tag can't be read", extra={"pipeline": slot.config.name})
            return None, None
        loaded = self._load(slot, named, "challenger")
        return loaded, (None if loaded is None else exposure)

    def _load(self, slot: PipelineSlot, named: AliasedVersion, alias: str) -> LoadedModel | None:
        """A version in memory; None where it can't be served, which is reported."""
        key = (named.version, named.location)
        if key in slot.loaded:
            return slot.loaded[key]
        refused = slot.rejected.get(key)
        if refused is not None and refused.at > time.monotonic() - _AGAIN_SECONDS:
            return None
        try:
            loaded = LoadedModel(slot.config, named, self._copy.folder(slot.config.name, named))
        except (RefusedModelError, FetchError, MissingFilesError) as error:
            if isinstance(error, RefusedModelError):
                self._copy.discard(slot.config.name, named)  # the next try fetches it anew
            self._reject(slot, named, alias, str(error), fetched=isinstance(error, RefusedModelError))
            return None
        slot.rejected.pop(key, None)
        slot.loaded[key] = loaded
        return loaded

    def _reject(self, slot: PipelineSlot, named: AliasedVersion, alias: str, reason: str, *, fetched: bool) -> None:
        key = (named.version, named.location)
        known = slot.rejected.get(key)
        slot.rejected[key] = _Rejection(time.monotonic(), reason)
        if known is not None and known.reason == reason:
            return
        about = {"pipeline": slot.config.name, "version": named.version, "alias": alias, "problem": reason[:500]}
        _log.error("a version can't be served; the current version stays in service", extra=about)
        self._metrics.refused.labels(slot.config.name).inc()
        arguments = (self._settings, slot.config.name, named.version, alias, reason)
        threading.Thread(
            target=report_rejected, args=arguments, kwargs={"fetched": fetched}, name="report", daemon=True
        ).start()

    def _report_swap(self, slot: PipelineSlot, before: ServedVersions | None, seconds: float) -> None:
        name, now = slot.config.name, slot.versions
        if now is None or (
            before is not None
            and now._replace(fields=(), optional_fields=()) == before._replace(fields=(), optional_fields=())
        ):
            return
        self._metrics.version.labels(name, "champion").set(now.champion.version)
        self._metrics.version.labels(name, "challenger").set(0 if now.challenger is None else now.challenger.version)
        self._metrics.share.labels(name).set(0 if now.exposure is None else now.exposure.share)
        self._metrics.swaps.labels(name).inc()
        self._metrics.swap_seconds.labels(name).observe(seconds)
        details = {
            "pipeline": name,
            "version": now.champion.version,
            "before": None if before is None else before.champion.version,
            "challenger": None if now.challenger is None else now.challenger.version,
            "exposure": None if now.exposure is None else f"{now.exposure.kind} {now.exposure.share:g}",
            "seconds": round(seconds, 3),
        }
        _log.info("serves", extra=details)
        if before is not None and seconds + self._serve.poll_seconds > self._serve.grace_seconds:
            _log.warning("a promotion took effect later than grace_seconds", extra=details)
        self._changed()

    def _read_configs(self) -> None:
        """Take new and changed YAMLs in. One with a mistake leaves what was there."""
        now = time.monotonic()
        if self.slots and now < self._configs_read_at + _CONFIG_SECONDS:
            return
        self._configs_read_at = now
        for name in self._only or names():
            try:
                stamp = (folder() / f"{name}.yaml").stat().st_mtime_ns
                if self._stamps.get(name) == stamp:
                    continue
                self._stamps[name] = stamp
                self._apply_config(load(name))
            except (ConfigError, OSError) as error:
                _log.error("a pipeline's YAML can't be loaded", extra={"pipeline": name, "problem": str(error)})

    def _apply_config(self, config: PipelineConfig) -> None:
        self.configs[config.name] = config
        if not config.serving.enabled:
            self.slots.pop(config.name, None)
            return
        slot = self.slots.get(config.name)
        if slot is None:
            self.slots[config.name] = PipelineSlot(config)
        elif slot.config != config:
            slot.config = config
            slot.loaded, slot.aliases = {}, Aliases()  # what is served goes on until it is loaded anew
