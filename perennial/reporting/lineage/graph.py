"""The graph of a lineage: what is drawn, column by column from files to predictions, and what leads to what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby, pairwise
from typing import Literal, NamedTuple

from perennial.reporting.lineage import facts
from perennial.reporting.lineage.facts import commit, count
from perennial.reporting.lineage.records import Lineage
from perennial.reporting.lineage.tables import time_range, timestamp
from tasks.records.data import BatchRecord, Feed

Kind = Literal["file", "batch", "table", "set", "model", "verdict", "champion", "after", "bad", "recipe"]
_MOST_FILES = 8  # of a column; more are drawn as groups
_FEEDS: tuple[Feed, ...] = ("observations", "labels")


class Node(NamedTuple):
    """A box: its column, what it says, and the section of the page that tells more."""

    key: str
    column: int
    kind: Kind
    title: str
    lines: tuple[str, ...]
    section: str


class Graph(NamedTuple):
    """Boxes, and which leads to which, by their keys."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]
    heads: tuple[str, ...]


def graph(one: Lineage) -> Graph:
    """The graph of a version."""
    nodes, edges = list[Node](), list[tuple[str, str]]()
    for part, part_edges in (_file_columns(one), _model_nodes(one), _evaluation_nodes(one), _usage_nodes(one)):
        nodes += part
        edges += part_edges
    approval = ("approval",) if one.approval else ()
    heads = ("files", "ingested", "tables", "made of", "model", "verdict", *approval, "champion", "usage")
    known = {node.key for node in nodes}
    return Graph(tuple(nodes), tuple(way for way in edges if known.issuperset(way)), heads)


_Part = tuple[list[Node], list[tuple[str, str]]]


# ------------------------------------------------------------------------------------------------ where data come from
def _file_columns(one: Lineage) -> _Part:
    nodes, edges = list[Node](), list[tuple[str, str]]()
    many = len(one.accepted) > _MOST_FILES
    for number, group in enumerate(_groups(one.accepted)):
        batch = f"batch{number}"
        nodes.append(_batch(batch, group))
        for feed in _FEEDS:
            own = [each for each in group if each.feed == feed]
            if own:
                edges.append((batch, feed))
                for key, node in _file_nodes(batch, feed, own, many):
                    nodes.append(node)
                    edges.append((key, batch))
    if one.refused:
        reasons = tuple(dict.fromkeys(reason for each in one.refused for reason in each.reasons))
        nodes.append(Node("refused", 0, "bad", count(len(one.refused), "rejected file"), reasons[:2], "refused"))
        rows = f"{sum(each.rows for each in one.refused)} rows not ingested"
        nodes.append(Node("quarantine", 1, "bad", "quarantine", (rows,), "refused"))
        edges.append(("refused", "quarantine"))
    nodes += [
        Node(
            each.table,
            2,
            "bad" if one.problem(each.table) else "table",
            each.table,
            (f"version {each.version}", "can't be read" if each.rows is None else f"{each.rows} rows"),
            "data",
        )
        for each in one.tables
    ]
    return nodes, edges


def _groups(batches: Sequence[BatchRecord]) -> list[list[BatchRecord]]:
    """Files by the run that took them in; many runs in a few stretches of time."""
    ordered = sorted(batches, key=lambda each: (each.ingested_at, each.seq))
    runs = [list(group) for _, group in groupby(ordered, key=lambda each: each.ingested_at)]
    most = _MOST_FILES // len({each.feed for each in batches} or {""})
    if len(runs) <= most:
        return runs
    bounds = [round(place * len(runs) / most) for place in range(most + 1)]
    return [[each for run in runs[start:end] for each in run] for start, end in pairwise(bounds)]


def _batch(key: str, group: Sequence[BatchRecord]) -> Node:
    times = sorted({each.ingested_at for each in group})
    title = timestamp(times[0]) if len(times) == 1 else f"{len(times)} runs"
    when = () if len(times) == 1 else (time_range(times[0], times[-1]),)
    rows = sum(each.accepted for each in group)
    quarantined_rows = sum(each.quarantined for each in group)
    quarantined = (f"{quarantined_rows} rows quarantined",) if quarantined_rows else ()
    return Node(key, 1, "batch", title, (*when, f"{count(len(group), 'file')}, {rows} rows", *quarantined), "data")


def _file_nodes(batch: str, feed: Feed, files: Sequence[BatchRecord], many: bool) -> Iterator[tuple[str, Node]]:
    if many and len(files) > 1:
        key = f"{batch}-{feed}"
        names = (files[0].path, f"to {files[-1].path}")
        yield key, Node(key, 0, "file", f"{len(files)} files", (feed, *names), "data")
        return
    for each in files:
        key = f"{batch}-{feed}-{each.seq}"
        times = time_range(each.event_time_min, each.event_time_max)
        about = () if times == "–" else (times,)
        yield key, Node(key, 0, "file", each.path, (f"{feed}: {each.accepted} rows", *about), "data")


# ------------------------------------------------------------------------------------------------ what was made of them
def _model_nodes(one: Lineage) -> _Part:
    ref = one.model
    rows = (f"{ref.train_rows} training rows", f"{one.holdout_rows} held out, {ref.split.kind}")
    known = one.training.parts.libraries if one.training else {}
    learner = next((f"{name} {number}" for name, number in known.items() if name == "scikit-learn"), "")
    at = commit(one)
    estimator = _estimator(one)
    nodes = [
        Node("set", 3, "set", "training set", rows, "model"),
        Node("config", 3, "recipe", "configuration", (f"{len(ref.columns)} columns",), "config"),
        Node("code", 3, "recipe", "code", (f"commit {at[:10]}" if at else "commit not known",), "code"),
        Node("environment", 3, "recipe", "environment", (learner or "not known",), "environment"),
        Node("model", 4, "model", f"version {one.version}", (estimator, f"trained {_day(one)}"), "model"),
    ]
    feeds: list[str] = [*_FEEDS]
    return nodes, [*((feed, "set") for feed in feeds), *((each.key, "model") for each in nodes[:4])]


def _estimator(one: Lineage) -> str:
    return dict(facts.model(one)).get("estimator", "").rpartition(".")[2]


def _day(one: Lineage) -> str:
    at: datetime = one.training.at if one.training else one.newest_evaluation.at
    return f"{at:%Y-%m-%d}"


def _evaluation_nodes(one: Lineage) -> _Part:
    verdict = one.newest_evaluation.verdict
    passed = sum(gate.outcome == "pass" for gate in verdict.gates)
    primary = verdict.metrics.values.get(verdict.primary)
    metric = () if primary is None else (f"{verdict.primary} {primary:.4g}",)
    incumbent_metrics = verdict.champion_metrics or verdict.baseline
    metric_value = incumbent_metrics.values.get(verdict.primary)
    name = "baseline" if verdict.champion_version is None else f"version {verdict.champion_version}"
    nodes = [
        Node(
            "rival",
            4,
            "recipe",
            name,
            ("compared with it", *(() if metric_value is None else (f"{verdict.primary} {metric_value:.4g}",))),
            "verdict",
        ),
        Node(
            "verdict",
            5,
            "verdict" if verdict.passed else "bad",
            "passed" if verdict.passed else "rejected",
            (f"{passed} of {len(verdict.gates)} gates pass", *metric),
            "verdict",
        ),
    ]
    edges = [("model", "verdict"), ("rival", "verdict")]
    if one.approval:
        request = one.approval
        state = one.approval_state
        who = (f"by {request.by}",) if request.by else (f"until {_minutes(request.deadline)}",)
        kind: Kind = "verdict" if state == "approved" else "recipe" if state == "pending" else "bad"
        nodes.append(Node("approval", 6, kind, state, who, "verdict"))
        edges += [("verdict", "approval"), ("approval", "champion")]
    else:
        edges.append(("verdict", "champion"))
    return nodes, edges


def _usage_nodes(one: Lineage) -> _Part:
    column = 7 if one.approval else 6
    nodes = [_champion_node(one, column)]
    predictions = one.predictions
    if predictions.rows:
        files = f"{predictions.rows} rows, {count(len(predictions.files), 'file')}"
        nodes.append(Node("predictions", column + 1, "after", "predictions", (files,), "after"))
        nodes.append(
            Node("came", column + 1, "after", "labels since", (f"for {predictions.labelled} of them",), "after")
        )
    elif one.champion_periods:
        nodes.append(Node("predictions", column + 1, "recipe", "predictions", ("none yet",), "after"))
    for what in ("drift", "performance"):
        seen = [each for each in one.watched if each.kind == what]
        if seen:
            last = seen[-1]
            kind: Kind = "bad" if last.state == "act" else "after"
            lines = (f"{last.state}, {last.at:%Y-%m-%d}", count(len(seen), "check"))
            nodes.append(Node(what, column + 1, kind, what, lines, "watched"))
    came = ("took its place",)
    nodes += [
        Node(f"next{version}", column + 1, "champion", f"version {version}", came, "after")
        for version in one.replaced_by
    ]
    return nodes, [("champion", each.key) for each in nodes[1:]]


def _champion_node(one: Lineage, column: int) -> Node:
    if not one.champion_periods:
        return Node("champion", column, "recipe", "never champion", (), "champion")
    last = one.champion_periods[-1]
    until = "until now" if last.until is None else f"until {_minutes(last.until)}"
    title = "champion" if last.until is None else "was champion"
    times = (count(len(one.champion_periods), "time"),) if len(one.champion_periods) > 1 else ()
    return Node("champion", column, "champion", title, (f"since {_minutes(last.since)}", until, *times), "champion")


def _minutes(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"
