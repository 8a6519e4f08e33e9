"""Which stage's recipe is another than at the last run, and how: no pandas, MLflow or Prefect."""

from __future__ import annotations

from configs.schema import PipelineConfig
from tasks.provenance import fingerprints
from tasks.records.base import Record
from tasks.records.provenance import changes
from tasks.records.stages import TRAINING_STAGES, TrainingStage
from tasks.stores.settings import Settings
from tasks.stores.state import candidates
from tasks.stores.state.audit import Audit
from tasks.stores.state.manifests import Manifests


class StageChange(Record):
    """The first stage whose configuration, code or libraries changed, and what did."""

    step: TrainingStage
    reasons: tuple[str, ...]


def stage_change(config: PipelineConfig, settings: Settings) -> StageChange | None:
    """What changed since the last run that trained, or that found nothing to train; None where nothing did."""
    audit, manifests = Audit(settings), Manifests(settings, config.name)
    before = candidates.last_fingerprints(audit, config.name)
    for step in TRAINING_STAGES if before else ():
        now = fingerprints.stage_dependencies(config, step)
        if now.static_fingerprint != before[step]:
            known = [one.parts for one in manifests.all(step) if one.parts.static_fingerprint == before[step]]
            reasons = changes(known[-1], now) if known else ()
            return StageChange(step=step, reasons=reasons or (f"configuration, code or libraries of {step} changed",))
    return None
