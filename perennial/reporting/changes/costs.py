"""What a version cost: wall and CPU time, memory, and money by the configured prices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from configs.schema import CostPrices
from perennial.reporting.changes.candidates import EvaluatedVersion
from perennial.reporting.changes.records import StageCost
from tasks.records.provenance import Cost, Manifest
from tasks.records.stages import TRAINING_STAGES


def stage_costs(found: Sequence[EvaluatedVersion], prices: CostPrices) -> Iterator[tuple[StageCost, ...]]:
    """For each evaluation, oldest first, what its stages took. A stage is paid for by the first that it made."""
    payers: dict[str, str] = {}
    for one in found:
        own = []
        for step in TRAINING_STAGES:
            manifest = one.manifests.get(step)
            if manifest is not None:
                payer = payers.setdefault(_run_key(manifest), one.name)
                paid_by = "" if payer == one.name else payer
                own.append(
                    StageCost(stage=step, cost=manifest.cost, money=price(manifest.cost, prices), paid_by=paid_by)
                )
        yield tuple(own)


def _run_key(manifest: Manifest) -> str:
    """Which run of a stage a manifest is of."""
    return f"{manifest.stage} {manifest.fingerprint} {manifest.run} {manifest.at.isoformat()}"


def total(stages: Sequence[StageCost]) -> Cost | None:
    """The sum of what was not paid by another; the greatest of the peaks. None where nothing is known."""
    own = [one.cost for one in stages if not one.paid_by]
    if not stages:
        return None
    return Cost(
        seconds=round(sum(one.seconds for one in own), 3),
        cpu_seconds=round(sum(one.cpu_seconds for one in own), 3),
        peak_mebibytes=max((one.peak_mebibytes for one in own), default=0.0),
    )


def money(stages: Sequence[StageCost]) -> float | None:
    """What that comes to; None where no price is configured."""
    prices = [one.money for one in stages if not one.paid_by and one.money is not None]
    return sum(prices) if prices else None


def price(cost: Cost, prices: CostPrices) -> float | None:
    """What a stage comes to; None where no price is configured."""
    wall, cpu, memory = prices.wall_hour, prices.cpu_hour, prices.gibibyte_hour
    if wall is None and cpu is None and memory is None:
        return None
    hours = cost.seconds / 3600
    gibibytes = cost.peak_mebibytes / 1024
    return hours * ((wall or 0.0) + (memory or 0.0) * gibibytes) + (cpu or 0.0) * cost.cpu_seconds / 3600
