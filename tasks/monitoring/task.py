"""Prefect tasks of monitoring."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.compute as pc
from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from configs.schema import PipelineConfig
from tasks.monitoring import decide, page
from tasks.refs import BatchRecord, DatasetRef, DriftState, DriftVerdict, ModelRef, RetrainDecision, artifact_key
from tasks.stores import candidates, models
from tasks.stores.audit import Audit
from tasks.stores.lake import SEQ, Lake, decision_row
from tasks.stores.settings import load_settings

if TYPE_CHECKING:
    import pandas as pd


def newest_verdict(lake: Lake, champion: ModelRef) -> DriftVerdict | None:
    """The stored verdict on the present champion that looked at the newest batches; None before any."""
    rows = lake.read("decisions", ["record"], where=pc.field("kind") == "drift")
    found = [DriftVerdict.model_validate_json(record) for record in rows.column("record").to_pylist()]
    mine = [verdict for verdict in found if verdict.champion == champion.version]
    return max(mine, key=lambda verdict: verdict.through_seq, default=None)


@task(name="check-drift", cache_policy=NO_CACHE)
def check_drift(config: PipelineConfig, champion: ModelRef | None, now: datetime) -> DriftVerdict:
    """Hold the newest batches against what the champion was trained on."""
    lake = Lake(load_settings(), config)
    window = newest_batches(lake.ledger(), champion, config.monitoring.window_batches)
    if champion is None:
        verdict = DriftVerdict(state="unknown", reasons=("there is no champion yet",), champion=None)
    elif not window:
        told = f"no batch came in since champion {champion.version} was trained"
        verdict = DriftVerdict(state="unknown", reasons=(told,), champion=champion.version)
    else:
        verdict = _measure(config, lake, champion, window)
    verdict = verdict.model_copy(update={"through_seq": max((one.seq for one in window), default=0)})
    lake.append("decisions", decision_row(now, "drift", verdict.state, "", verdict.model_dump_json()))
    create_markdown_artifact(
        page.drift_page(config.name, verdict), key=artifact_key(config.name, "drift"), description=verdict.state
    )
    return verdict


def newest_batches(ledger: Sequence[BatchRecord], champion: ModelRef | None, most: int) -> list[BatchRecord]:
    """The newest accepted observation batches that the champion was not trained on, at most so many."""
    after = 0 if champion is None else champion.through_seq
    found = [one for one in ledger if one.verdict == "accepted" and one.feed == "observations" and one.seq > after]
    return found[-most:]


def _measure(config: PipelineConfig, lake: Lake, champion: ModelRef, window: Sequence[BatchRecord]) -> DriftVerdict:
    import pandas as pd

    from tasks.monitoring.drift import columns, verdict
    from tasks.monitoring.measures import measure

    reference = pd.read_parquet(Path(champion.folder) / models.EXTRA / models.REFERENCE_FILE)
    current = _current(config, lake, champion, window)
    batches = tuple(one.path for one in window)
    sizes = {"window_rows": len(current), "reference_rows": len(reference)}
    rules = config.monitoring
    if min(sizes.values()) < rules.min_rows:
        told = f"{len(current)} new and {len(reference)} training rows, at least {rules.min_rows} of each are needed"
        return DriftVerdict(state="unknown", reasons=(told,), champion=champion.version, batches=batches, **sizes)
    numeric, categorical = watched(config, champion)
    lost = [
        name for name in [*numeric, *categorical] if reference[name].notna().any() and not current[name].notna().any()
    ]
    measured = measure(
        current, reference, [one for one in numeric if one not in lost], [one for one in categorical if one not in lost]
    )
    found = columns(measured, lost, rules)
    state, reasons = verdict(found, rules)
    return DriftVerdict(
        state=state, reasons=reasons, champion=champion.version, columns=found, batches=batches, **sizes
    )


def watched(config: PipelineConfig, champion: ModelRef) -> tuple[list[str], list[str]]:
    """The champion's columns that are watched: numbers, and categories. Event times always move."""
    known = champion.columns
    names = [name for name in champion.feature_columns if name not in config.monitoring.ignore]
    declared = set(config.features.categorical)
    numeric = [one for one in names if known[one].type in ("number", "integer", "boolean") and one not in declared]
    return numeric, [one for one in names if known[one].type != "timestamp" and one not in numeric]


def _current(config: PipelineConfig, lake: Lake, champion: ModelRef, window: Sequence[BatchRecord]) -> pd.DataFrame:
    import numpy as np
    import pyarrow as pa

    from tasks.features.frame import feature_frame

    wanted = pc.field(SEQ).isin([one.seq for one in window])
    table = lake.read("observations", champion.feature_columns, where=wanted)
    if table.num_rows > config.monitoring.sample_rows:
        rng = np.random.default_rng(config.seed)
        rows = np.sort(rng.choice(table.num_rows, size=config.monitoring.sample_rows, replace=False))
        table = table.take(pa.array(rows))
    return feature_frame(table, champion.feature_columns, champion.columns)


@task(name="drift-so-far", cache_policy=NO_CACHE)
def drift_so_far(config: PipelineConfig, champion: ModelRef) -> DriftVerdict | None:
    """The stored verdict on the newest batches; None where they were not looked at yet."""
    lake = Lake(load_settings(), config)
    window = newest_batches(lake.ledger(), champion, config.monitoring.window_batches)
    verdict = newest_verdict(lake, champion)
    if window and (verdict is None or verdict.through_seq < window[-1].seq):
        return None
    return verdict or DriftVerdict(state="unknown", reasons=("nothing new to look at",), champion=champion.version)


@task(name="decide-retrain", cache_policy=NO_CACHE)
def decide_retrain(
    config: PipelineConfig, dataset: DatasetRef, drift: DriftState, recipe: str, now: datetime
) -> RetrainDecision:
    """Decide by the `retrain` policy whether a new model is due."""
    settings = load_settings()
    last = candidates.newest(Audit(settings), config.name)
    decision = decide.retrain(
        config.retrain,
        labelled=dataset.labelled,
        trained=None if last is None else last.model.labelled,
        drift=drift,
        recipe=recipe,
        last_recipe="" if last is None else last.model.recipe,
    )
    outcome = "due" if decision.due else "wait"
    Lake(settings, config).append(
        "decisions", decision_row(now, "retrain", outcome, recipe, decision.model_dump_json())
    )
    create_markdown_artifact(
        page.decision_page(config.name, decision), key=artifact_key(config.name, "retrain"), description=outcome
    )
    return decision
