"""From measured distances to a verdict: an effect must be large and not chance, over all columns together."""

from __future__ import annotations

from collections.abc import Sequence

from configs.schema import Monitoring
from tasks.monitoring.measures import ColumnDistance
from tasks.records.decision import ColumnDrift, WatchState


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number by Holm's step-down method (Scandinavian Journal of Statistics, 1979)."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def column_drifts(
    measured: Sequence[ColumnDistance], missing: Sequence[str], rules: Monitoring
) -> tuple[ColumnDrift, ...]:
    """Each watched column's drift, the largest effect first.

    Args:
        measured: Columns with values on both sides.
        missing: Columns with values in the reference and none now.
        rules: Thresholds.
    """
    adjusted = holm([one.p_value for one in measured])
    found = [
        ColumnDrift(
            column=one.column,
            measure="wasserstein" if one.numeric else "jensen_shannon",
            effect=one.effect,
            p_value=p_value,
            drifted=one.effect >= rules.warn_effect and p_value < rules.significance,
        )
        for one, p_value in zip(measured, adjusted, strict=True)
    ]
    found += [ColumnDrift(column=name, measure="missing", effect=1.0, p_value=0.0, drifted=True) for name in missing]
    return tuple(sorted(found, key=lambda one: (-one.effect, one.column)))


def drift_state(found: Sequence[ColumnDrift], rules: Monitoring) -> tuple[WatchState, tuple[str, ...]]:
    """The state and its reasons. No column is never fine: it is unknown."""
    if not found:
        return "unknown", ("no column could be measured",)
    drifted = [one for one in found if one.drifted]
    if not drifted:
        return "ok", (f"none of {len(found)} columns drifted",)
    share = len(drifted) / len(found)
    strongest = max(drifted, key=lambda one: one.effect)
    summary = f"{len(drifted)} of {len(found)} columns drifted: " + ", ".join(
        f"{one.column} ({one.measure} {one.effect:.2f})" for one in drifted[:6]
    )
    missing = [one.column for one in drifted if one.measure == "missing"]
    if missing:
        return "act", (summary, f"no value any more in {', '.join(missing)}")
    if share >= rules.act_share:
        return "act", (summary, f"a share of {share:.2f}, act from {rules.act_share:.2f}")
    if strongest.effect >= rules.act_effect:
        return "act", (summary, f"{strongest.column} by {strongest.effect:.2f}, act from {rules.act_effect:.2f}")
    return "warn", (summary,)
