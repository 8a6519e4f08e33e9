"""Whether there is anything to do, told from the state alone: no pandas, MLflow or Prefect is imported for it."""

from __future__ import annotations

from datetime import datetime

from configs.schema import PipelineConfig
from tasks.ingestion.discover import feeds, new_files
from tasks.refs import digest, rules_digest
from tasks.stores.audit import MOVE_CHAMPION, Audit
from tasks.stores.candidates import waiting
from tasks.stores.environment import recipe
from tasks.stores.lake import Lake
from tasks.stores.settings import Settings

_ACTION = "lifecycle"


def fingerprint(config: PipelineConfig, lake: Lake) -> str:
    """Digest of all that a lifecycle run goes by: every batch known, the configuration, the recipe."""
    batches = sorted(f"{batch.feed}:{batch.batch}:{batch.verdict}" for batch in lake.ledger())
    return digest({"batches": [*batches], "config": config.model_dump(mode="json"), "recipe": recipe(config)})


def mark_settled(config: PipelineConfig, settings: Settings, *, at: datetime, actor: str) -> None:
    """Note that a run came to its end on the present state."""
    found = fingerprint(config, Lake(settings, config))
    audit = Audit(settings)
    audit.write(config.name, _ACTION, "done", at=at, actor=actor, reason="settled", details={"fingerprint": found})


def nothing_new(config: PipelineConfig, settings: Settings) -> bool:
    """Whether the last run ended on just the state there is now, and nothing landed since."""
    audit, lake = Audit(settings), Lake(settings, config)
    ended = audit.entries(config.name, _ACTION)
    if not ended or waiting(audit, config.name) or audit.open_intents(config.name, MOVE_CHAMPION):
        return False
    ledger = lake.ledger()
    for feed, source in feeds(config).items():
        if new_files(settings.landing(source.landing), source, feed, ledger, rules_digest(config)):
            return False
    return ended[-1].details.get("fingerprint") == fingerprint(config, lake)
