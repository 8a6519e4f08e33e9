"""Whether a new model is due, by the state: asked by runs, plans and the sweep alike. No pandas, MLflow or Prefect."""

from __future__ import annotations

from datetime import datetime

from configs.schema import PipelineConfig
from tasks.monitoring import decide
from tasks.provenance.changed import stage_change
from tasks.records.decision import RetrainDecision, WatchState
from tasks.stores.settings import Settings
from tasks.stores.state import candidates
from tasks.stores.state.audit import Audit


def decision(
    config: PipelineConfig,
    settings: Settings,
    *,
    labelled: int,
    drift: WatchState,
    performance: WatchState,
    recipe: str,
    now: datetime,
) -> RetrainDecision:
    """Decide by the `retrain` policy whether a new model is due.

    Args:
        config: The pipeline.
        settings: Where its stores are.
        labelled: Labelled rows there are.
        drift: Verdict of the newest drift check.
        performance: Verdict of the newest check of the champion's predictions against labels.
        recipe: Digest of the configuration, code and libraries that a training now would go by.
        now: The run's clock.
    """
    audit = Audit(settings)
    last = candidates.newest(audit, config.name)
    changed = stage_change(config, settings)
    return decide.decide_retraining(
        config.retrain,
        labelled=labelled,
        trained=None if last is None else last.model.labelled,
        drift=drift,
        performance=performance,
        recipe=recipe,
        changed=None if changed is None else changed.step,
        details=() if changed is None else changed.reasons,
        age_days=age_days(audit, config.name, now),
    )


def age_days(audit: Audit, pipeline: str, now: datetime) -> float:
    """Days since the newest candidate was evaluated; 0 before any."""
    at = candidates.newest_at(audit, pipeline)
    return 0.0 if at is None else (now - at).total_seconds() / 86_400.0


def is_aged(config: PipelineConfig, settings: Settings, now: datetime) -> bool:
    """Whether the last training is older than the policy allows: a decision on the same data may be another now."""
    limit = config.retrain.max_age_days
    return limit is not None and age_days(Audit(settings), config.name, now) >= limit
