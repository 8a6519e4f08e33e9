"""The judgement of a candidate: answers on the holdout, the comparison, the gates. Pure, from frames to a verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from configs.schema import PipelineConfig
from tasks.evaluation.gates import Facts, judge
from tasks.records.decision import Interval, MetricSet, Verdict
from tasks.statistics.intervals import improvements
from tasks.statistics.metrics import Answers, digest_of, measure, names
from tasks.stores.registry.models import predict


@dataclass(frozen=True)
class Holdout:
    """Held-out rows.

    Attributes:
        truth: True targets, shape (n_rows,).
        units: What the bootstrap draws: each row's unit, shape (n_rows,); None: rows.
        unseen: Rows that the champion cannot have trained on, shape (n_rows,).
    """

    truth: npt.NDArray[Any]
    units: npt.NDArray[np.int64] | None
    unseen: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Circumstances:
    """Facts about the candidate that are not measured on the holdout; see `gates.Facts`."""

    champion_version: int | None
    train_rows: int
    newest_event: datetime | None
    now: datetime
    lineage: dict[str, str]


def answers(model: Any, frame: pd.DataFrame) -> Answers:
    """What a model says of feature rows, shape (n_rows, n_columns)."""
    point, probabilities = predict(model, frame)
    return Answers(point, probabilities, tuple(getattr(model, "classes_", ())))


def verdict(
    config: PipelineConfig,
    holdout: Holdout,
    candidate: Answers,
    baseline: Answers,
    champion: Answers | None,
    circumstances: Circumstances,
    probe_difference: Callable[[], str],
) -> Verdict:
    """Judge a candidate.

    Args:
        config: The pipeline.
        holdout: The held-out rows.
        candidate: The candidate's answers for them.
        baseline: The dummy's answers for them.
        champion: The champion's answers for them; None before the first, or where it can't be asked.
        circumstances: What else the gates look at.
        probe_difference: Ends the clean process of gate S01 and tells what differed.
    """
    asked = champion is not None or circumstances.champion_version is None
    rival = baseline if champion is None else champion
    rows = np.flatnonzero(holdout.unseen) if asked else np.array([], dtype=np.int64)
    effects = compare(config, holdout, candidate, rival, rows)
    comparison = effects.get(config.evaluation.primary)
    metrics = measure(config.task, holdout.truth, candidate)
    base = measure(config.task, holdout.truth, baseline)
    gates = judge(
        config,
        Facts(
            metrics=metrics,
            baseline=base,
            champion_version=circumstances.champion_version,
            comparison=comparison,
            compared_rows=len(rows),
            probe_difference=probe_difference(),
            train_rows=circumstances.train_rows,
            newest_event=circumstances.newest_event,
            now=circumstances.now,
            lineage=circumstances.lineage,
        ),
    )
    return Verdict(
        passed=not any(gate.blocks for gate in gates),
        gates=gates,
        metrics=metrics,
        baseline=base,
        champion_version=circumstances.champion_version,
        champion_metrics=_champion_metrics(config, holdout, champion, rows),
        primary=config.evaluation.primary,
        comparison=comparison,
        effects=effects,
        answers=digest_of(candidate),
    )


def compare(
    config: PipelineConfig, holdout: Holdout, candidate: Answers, rival: Answers, rows: npt.NDArray[np.int64]
) -> dict[str, Interval]:
    """Improvement over a rival on some holdout rows, by every metric, the primary first; empty on too few rows.

    Args:
        config: Says which metrics, how they are resampled and how few rows are too few.
        holdout: The held-out rows.
        candidate: The candidate's answers for all of them.
        rival: The rival's.
        rows: Positions of the rows compared on.
    """
    rule, primary = config.evaluation.comparison, config.evaluation.primary
    if len(rows) < rule.min_rows:
        return {}
    return improvements(
        [primary, *(name for name in names(config.task) if name != primary)],
        holdout.truth[rows],
        candidate.take(rows),
        rival.take(rows),
        None if holdout.units is None else holdout.units[rows],
        resamples=rule.resamples,
        confidence=rule.confidence,
        seed=config.seed,
    )


def _champion_metrics(
    config: PipelineConfig, holdout: Holdout, champion: Answers | None, rows: npt.NDArray[np.int64]
) -> MetricSet | None:
    if champion is None or len(rows) == 0:
        return None
    return measure(config.task, holdout.truth[rows], champion.take(rows))
