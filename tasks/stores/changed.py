"""Which stage's recipe is another than that of the newest candidate, and how: no pandas, MLflow or Prefect."""

from __future__ import annotations

from configs.schema import PipelineConfig
from tasks.provenance import Manifest, changes
from tasks.refs import Candidate, Record, RetrainFrom
from tasks.stores import candidates, recipes
from tasks.stores.audit import Audit
from tasks.stores.manifests import Manifests
from tasks.stores.settings import Settings


class Change(Record):
    """The first stage whose configuration, code or libraries changed, and what did."""

    step: RetrainFrom
    reasons: tuple[str, ...]


def change(config: PipelineConfig, settings: Settings) -> Change | None:
    """What changed since the newest candidate was made and judged; None where nothing did, or there is none."""
    last = candidates.newest(Audit(settings), config.name)
    if last is None:
        return None
    manifests = Manifests(settings, config.name)
    for step in recipes.STEPS:
        now = recipes.parts(config, step)
        if now.recipe != last.recipes[step]:
            before = _manifest(manifests, last, step)
            told = () if before is None else changes(before.parts, now)
            return Change(step=step, reasons=told or (f"configuration, code or libraries of {step} changed",))
    return None


def _manifest(manifests: Manifests, last: Candidate, step: recipes.Step) -> Manifest | None:
    if step == "training":
        return manifests.find(step, last.model.training)
    if step == "evaluation":
        return manifests.find(step, last.evaluation)
    mine = [one for one in manifests.all(step) if one.parts.recipe == last.recipes[step]]
    return mine[-1] if mine else None
