"""One example of each kind of stored record, and the same as a newer version would store it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, TypeAdapter

from configs.contract import Column
from configs.serving import Canary, RolloutPlan, Shadow
from perennial.ops.running import Running
from tasks.records.base import SCHEMA, StoredRecord
from tasks.records.data import DatasetRef, SplitRecord, TrainingSetRef
from tasks.records.decision import (
    Candidate,
    ColumnDrift,
    DriftVerdict,
    GateResult,
    Interval,
    MetricSet,
    PerformanceVerdict,
    Promotion,
    RetrainDecision,
    Verdict,
)
from tasks.records.model import ModelRef
from tasks.records.provenance import Cost, Manifest, Provenance, StageDependencies
from tasks.records.rollout import Exposure, RolloutCheck, RolloutDecision
from tasks.release.registry_moves import Back
from tasks.stores.state.rollout_checks import Look
from tasks.stores.state.rollouts import Ending, Moved, Rollout, RolloutStart
from tasks.training.reproduction import Check, Reproduction

AT = datetime(2026, 1, 5, tzinfo=UTC)
GATE = GateResult(code="Q01", title="t", severity="block", outcome="pass", reason="r", evidence={"rows": 3})
METRICS = MetricSet(rows=3, values={"mae": 0.5})
INTERVAL = Interval(estimate=0.5, low=0.1, high=0.9, confidence=0.95)
SPLIT = SplitRecord(kind="time", holdout=0.3, column="at", boundary_us=5)
DATASET = DatasetRef(pipeline="p", digest="d", observations=1, labels=None, through_seq=2, rows=3, labelled=3)
PARTS = StageDependencies(config={"a.b": 1}, code={"m.py": "d"}, libraries={"numpy": "2"}, inputs={"dataset": "d"})
PLAN = RolloutPlan(steps=(Shadow(kind="shadow", requests=3), Canary(kind="canary", share=0.1)))
MODEL = ModelRef(
    pipeline="p",
    run_id="r",
    model_uri="models:/m",
    folder="/f",
    version=1,
    recipe="c",
    training="t",
    columns={"x": Column(type="number", nullable=True, allowed=None), "k": Column(type="string", allowed=("a", "b"))},
    dataset_digest="d",
    through_seq=2,
    labelled=3,
    observations=1,
    train_rows=2,
    newest_event=AT,
    split=SPLIT,
)
VERDICT = Verdict(
    passed=True,
    gates=(GATE,),
    metrics=METRICS,
    baseline=METRICS,
    champion_version=1,
    champion_metrics=METRICS,
    primary="mae",
    comparison=INTERVAL,
    effects={"mae": INTERVAL},
    answers="a",
)
DECISION = RolloutDecision(
    action="go_on",
    step=0,
    steps=2,
    answered=1,
    reasons=("r",),
    checks=(RolloutCheck(name="errors", outcome="pass", reason="r", figures={"share": 0.0}),),
)
ENDING = Ending(outcome="promoted", reasons=("r",), by="ana", at=AT)
DRIFT = ColumnDrift(column="x", measure="wasserstein", effect=0.1, p_value=0.5, drifted=False)

RECORDS: tuple[StoredRecord, ...] = (
    TrainingSetRef(
        digest="d", dataset=DATASET, folder="/f", split=SPLIT, train_rows=2, holdout_rows=1, newest_event=AT
    ),
    MODEL,
    VERDICT,
    Candidate(model=MODEL, verdict=VERDICT, evaluation="e", recipes={"training": "t"}),
    Promotion(outcome="promoted", version=1, champion=1, previous=None, reasons=("r",), approval=GATE),
    Exposure(rollout=1, step=0, kind="canary", share=0.1, since=AT),
    DriftVerdict(state="warn", reasons=("r",), champion=1, columns=(DRIFT,), batches=("b",)),
    PerformanceVerdict(state="ok", reasons=(), champion=1, metric="mae", current=0.5, interval=INTERVAL),
    RetrainDecision(due=True, reasons=("r",), new_rows=3, recipe="c"),
    Manifest(
        pipeline="p",
        stage="training",
        fingerprint="f",
        parts=PARTS,
        output=MODEL.document(),
        at=AT,
        cost=Cost(seconds=1.0, cpu_seconds=1.0, peak_mebibytes=1.0),
    ),
    Provenance(
        pipeline="p",
        config={"name": "p"},
        dataset=DATASET,
        split=SPLIT,
        train_rows=2,
        holdout_rows=1,
        features=PARTS,
        training=PARTS,
        commit="c",
        lock="l",
        packages={"numpy": "2"},
        python="3.11.1",
        platform="linux",
        threads=1,
        clock=AT,
        fitted="f",
    ),
    Look(rollout=1, at=AT, decision=DECISION),
    ENDING,
    RolloutStart(version=2, champion=1, candidate=3, plan=PLAN),
    Rollout(
        id=1,
        pipeline="p",
        version=2,
        champion=1,
        candidate=3,
        plan=PLAN,
        began=AT,
        by="ana",
        moved=(Moved(step=0, at=AT),),
        ending=ENDING,
    ),
    Back(version=2, to=1, marks=True),
    Running(pid=1, since=AT, prefect="http://p", mlflow="http://m", serving="http://s", log="l"),
    Reproduction(
        pipeline="p",
        version=1,
        commit="c",
        python="3.11",
        threads=1,
        rebuilt=True,
        checks=(Check(name="n", kind="code", outcome="equal", found="f"),),
    ),
)


def newer(record: StoredRecord) -> dict[str, Any]:
    """The document of a record as a newer version stores it: with one more field, in each record within, too."""
    return {**_grown(record), SCHEMA: record.schema_number + 1}


def _grown(value: Any) -> Any:
    if isinstance(value, BaseModel):
        fields = {name: _grown(getattr(value, name)) for name in type(value).model_fields}
        return fields | {"of_a_newer_version": {"deeper": [1]}}
    if isinstance(value, tuple | list):
        return [_grown(one) for one in value]
    if isinstance(value, dict):
        return {name: _grown(one) for name, one in value.items()}
    return TypeAdapter(Any).dump_python(value, mode="json")
