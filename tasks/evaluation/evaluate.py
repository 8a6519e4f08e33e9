"""Evaluation of a candidate: holdout predictions, comparison and gates. Pure, from frames to a verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from configs.schema import PipelineConfig
from tasks.evaluation.gates.base import GateData, GateInputs, Holdout
from tasks.evaluation.gates.registry import evaluate_gates
from tasks.records.decision import Interval, MetricSet, Verdict
from tasks.statistics.intervals import improvements
from tasks.statistics.metrics import ModelPredictions, compute_metrics, predictions_digest, task_metrics
from tasks.stores.registry.models import predict


@dataclass(frozen=True)
class CandidateContext:
    """Gate inputs that are not measured on the holdout; see `GateInputs`.

    Attributes:
        table: The holdout's rows with every column of the training set.
        folder: The folder of the candidate's files.
    """

    champion_version: int | None
    train_rows: int
    newest_event: datetime | None
    now: datetime
    lineage: dict[str, str]
    table: pa.Table
    folder: Path


def predict_rows(model: Any, frame: pd.DataFrame) -> ModelPredictions:
    """Predict feature rows, shape (n_rows, n_columns)."""
    point, probabilities = predict(model, frame)
    return ModelPredictions(point, probabilities, tuple(getattr(model, "classes_", ())))


def evaluate_candidate(
    config: PipelineConfig,
    holdout: Holdout,
    candidate: ModelPredictions,
    baseline: ModelPredictions,
    champion: ModelPredictions | None,
    context: CandidateContext,
    probe_difference: Callable[[], str],
) -> Verdict:
    """Evaluate a candidate.

    Args:
        config: The pipeline.
        holdout: The held-out rows.
        candidate: The candidate's predictions for them.
        baseline: The baseline's predictions for them.
        champion: The champion's predictions for them; None before the first, or if they are not available.
        context: Further inputs of the gates.
        probe_difference: Ends the clean process of gate S01 and returns the difference found.
    """
    comparable = champion is not None or context.champion_version is None
    incumbent = baseline if champion is None else champion
    rows = np.flatnonzero(holdout.unseen) if comparable else np.array([], dtype=np.int64)
    rows, left_out = of_common_classes(holdout.truth, rows, candidate, incumbent)
    effects = compare_models(config, holdout, candidate, incumbent, rows)
    comparison = effects.get(config.evaluation.primary)
    metrics = compute_metrics(config.task, holdout.truth, candidate)
    baseline_metrics = compute_metrics(config.task, holdout.truth, baseline)
    gates = evaluate_gates(
        config,
        GateInputs(
            metrics=metrics,
            baseline=baseline_metrics,
            champion_version=context.champion_version,
            comparison=comparison,
            compared_rows=len(rows),
            left_out_classes=left_out,
            probe_difference=probe_difference(),
            train_rows=context.train_rows,
            newest_event=context.newest_event,
            now=context.now,
            lineage=context.lineage,
            data=GateData(context.table, holdout, candidate, baseline, champion, context.folder),
        ),
    )
    return Verdict(
        passed=not any(gate.blocks for gate in gates),
        gates=gates,
        metrics=metrics,
        baseline=baseline_metrics,
        champion_version=context.champion_version,
        champion_metrics=_champion_metrics(config, holdout, champion, rows),
        primary=config.evaluation.primary,
        comparison=comparison,
        effects=effects,
        answers=predictions_digest(candidate),
    )


def of_common_classes(
    truth: npt.NDArray[Any],
    rows: npt.NDArray[np.int64],
    candidate: ModelPredictions,
    incumbent: ModelPredictions,
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Leave out rows of classes that only one of two models knows, and name these classes.

    Args:
        truth: True targets, shape (n_rows,).
        rows: Positions of the rows to compare on.
        candidate: The candidate's predictions.
        incumbent: The incumbent's.
    """
    if not candidate.classes or not incumbent.classes:
        return rows, ()
    of_one = set(candidate.classes) ^ set(incumbent.classes)
    if not of_one:
        return rows, ()
    alone = np.isin(truth[rows], np.asarray(sorted(of_one)))
    return rows[~alone], tuple(str(name) for name in sorted(set(truth[rows][alone].tolist())))


def compare_models(
    config: PipelineConfig,
    holdout: Holdout,
    candidate: ModelPredictions,
    incumbent: ModelPredictions,
    rows: npt.NDArray[np.int64],
) -> dict[str, Interval]:
    """Return the improvement over the incumbent by metric, the primary first; empty for too few rows.

    Args:
        config: Defines metrics, resampling and the minimum number of rows.
        holdout: The held-out rows.
        candidate: The candidate's predictions for all of them.
        incumbent: The incumbent's predictions.
        rows: Positions of the rows to compare on.
    """
    rule, primary = config.evaluation.comparison, config.evaluation.primary
    if len(rows) < rule.min_rows:
        return {}
    return improvements(
        [primary, *(name for name in task_metrics(config.task) if name != primary)],
        holdout.truth[rows],
        candidate.take(rows),
        incumbent.take(rows),
        None if holdout.units is None else holdout.units[rows],
        resamples=rule.resamples,
        confidence=rule.confidence,
        seed=config.seed,
    )


def _champion_metrics(
    config: PipelineConfig, holdout: Holdout, champion: ModelPredictions | None, rows: npt.NDArray[np.int64]
) -> MetricSet | None:
    if champion is None or len(rows) == 0:
        return None
    return compute_metrics(config.task, holdout.truth[rows], champion.take(rows))
