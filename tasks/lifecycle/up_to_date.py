"""Whether there is anything to do, decided by the state alone: no pandas, MLflow or Prefect is imported for it."""

from __future__ import annotations

from datetime import datetime

from pydantic import JsonValue

from configs.schema import PipelineConfig
from tasks.ingestion.discover import locations
from tasks.ingestion.search import Search
from tasks.ingestion.sql import sql_feeds
from tasks.monitoring.retraining import is_aged
from tasks.provenance.fingerprints import recipe, stage_dependencies
from tasks.records.base import digest
from tasks.records.stages import TRAINING_STAGES
from tasks.stores.lake.tables import Lake
from tasks.stores.runtime import clock
from tasks.stores.settings import Settings
from tasks.stores.state import candidates
from tasks.stores.state.approvals import Approvals
from tasks.stores.state.audit import Audit
from tasks.stores.state.candidates import UP_TO_DATE, pending_moves, ready

# How the lake is kept, what a run costs, what people read, and how versions are served decide nothing.
_IDLE = {"upkeep", "cost", "description", "serving", "rollout", "enabled"}


def fingerprint(config: PipelineConfig, lake: Lake) -> str:
    """Digest of all that a lifecycle run goes by: every batch known, the configuration, the recipe."""
    batches = sorted(f"{batch.feed}:{batch.batch}:{batch.verdict}" for batch in lake.ledger())
    section = config.model_dump(mode="json", exclude=_IDLE)
    return digest({"batches": [*batches], "config": section, "recipe": recipe(config)})


def mark_up_to_date(config: PipelineConfig, settings: Settings, *, at: datetime, actor: str) -> None:
    """Note that a run came to its end on the present state."""
    found = fingerprint(config, Lake(settings, config))
    audit = Audit(settings)
    of_stages: dict[str, JsonValue] = {
        step: stage_dependencies(config, step).static_fingerprint for step in TRAINING_STAGES
    }
    details: dict[str, JsonValue] = {"fingerprint": found, "recipes": of_stages}
    audit.write(config.name, UP_TO_DATE, "done", at=at, actor=actor, reason="settled", details=details)


def decided(config: PipelineConfig, settings: Settings, now: datetime | None = None) -> bool:
    """Whether a run that decides would come to what the last one did: on the same batches, configuration and recipe.

    Time alone makes a difference where the policy has a limit of age, and rows wait that were not trained on.
    """
    ended = Audit(settings).entries(config.name, UP_TO_DATE)
    lake = Lake(settings, config)
    if not ended or ended[-1].details.get("fingerprint") != fingerprint(config, lake):
        return False
    last = candidates.newest(Audit(settings), config.name)
    if last is None or not is_aged(config, settings, clock(now)):
        return True
    return lake.dataset(lake.ledger()).labelled <= last.model.labelled


def landed(config: PipelineConfig, settings: Settings) -> list[str]:
    """Files that landed and may be new, each as text that changes with it. None is read: places and stamps tell."""
    ledger = Lake(settings, config).ledger()
    return [
        f"{place.feed}:{place.origin}:{one.path}:{one.size}:{one.mtime_ns}"
        for place in locations(config, settings)
        for one in Search(config, settings, place, ledger).unprocessed()
    ]


def fetchable(config: PipelineConfig, settings: Settings, now: datetime | None = None) -> list[str]:
    """Feeds whose database has rows that are new, each as text that changes with them.

    Raises:
        UsageError: an address or a query is wrong.
        SourceDatabaseError: a database can't be reached.
    """
    waiting = {feed: one.pending() for feed, one in sql_feeds(config, settings, clock(now)).items()}
    return [f"{feed}:sql:{newest}" for feed, newest in waiting.items() if newest]


def undeployed(config: PipelineConfig, settings: Settings, now: datetime | None = None) -> list[int]:
    """Ids in the audit of what can be released now: evaluated candidates, and moves that a crash left.

    A candidate that a person may still answer for is none; once answered, or past its deadline, it is. While a version
    is rolled out, there is none.
    """
    audit = Audit(settings)
    waiting = [intent for intent, _ in ready(audit, Approvals(settings), config.name, clock(now))]
    return waiting + pending_moves(audit, config.name)
