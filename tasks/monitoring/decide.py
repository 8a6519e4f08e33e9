"""Whether a new model is due. New data makes the flow decide, not train."""

from __future__ import annotations

from collections.abc import Sequence

from configs.schema import Retrain
from tasks.records.decision import RetrainDecision, WatchState
from tasks.records.stages import TrainingStage


def decide_retraining(
    policy: Retrain,
    *,
    labelled: int,
    trained: int | None,
    drift: WatchState,
    performance: WatchState,
    recipe: str,
    changed: TrainingStage | None,
    details: Sequence[str] = (),
    age_days: float = 0.0,
) -> RetrainDecision:
    """Decide by the policy.

    Args:
        policy: The pipeline's `retrain` section.
        labelled: Labelled rows there are.
        trained: Labelled rows there were at the last training; None before the first.
        drift: Verdict of the newest drift check.
        performance: Verdict of the newest check of the champion's predictions against labels.
        recipe: Digest of the configuration, code and libraries that a training now would go by.
        changed: The first stage whose configuration, code or libraries are others than at the last training.
        details: Descriptions of what changed.
        age_days: Days since the last training.
    """
    if labelled == 0:
        return RetrainDecision(due=False, reasons=("no labelled row yet",), new_rows=0, recipe=recipe)
    if trained is None:
        first_reason = (f"no model yet, {labelled} labelled rows",)
        return RetrainDecision(due=True, reasons=first_reason, new_rows=labelled, recipe=recipe)
    new_rows = labelled - trained
    needed = max(policy.new_rows, round(policy.new_share * trained))
    reasons = []
    if new_rows >= needed:
        reasons.append(f"{new_rows} new labelled rows, {needed} make it due")
    if drift == "act" and policy.on_drift and new_rows > 0:
        reasons.append("drift verdict: act")
    if performance == "act" and policy.on_degraded and new_rows > 0:
        reasons.append("performance verdict: act")
    if policy.max_age_days is not None and age_days >= policy.max_age_days and new_rows > 0:
        reasons.append(f"the last training is {age_days:.1f} days old, {policy.max_age_days:g} make it due")
    stage: TrainingStage = "features" if new_rows and (reasons or changed != "evaluation") else changed or "features"
    if changed is not None:
        reasons.append(f"{changed} changed: {'; '.join(details)}")
    if reasons:
        return RetrainDecision(due=True, reasons=tuple(reasons), new_rows=new_rows, recipe=recipe, start_from=stage)
    waiting = f"waits: {new_rows} of {needed} new labelled rows"
    return RetrainDecision(due=False, reasons=(waiting,), new_rows=new_rows, recipe=recipe)
