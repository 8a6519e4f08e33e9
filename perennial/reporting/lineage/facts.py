"""The facts of a lineage, section by section, as its text and its page tell them."""

from __future__ import annotations

import yaml

from perennial.reporting.champions import format_time
from perennial.reporting.lineage.records import Lineage, TableVersion
from tasks.records.data import Feed

Facts = list[tuple[str, str]]
_DECISIVE = ("features", "split", "training", "evaluation")
_UNSET: tuple[object, ...] = (None, {}, [], "")


def model(one: Lineage) -> Facts:
    """What the model is."""
    ref, fields = one.model, config(one)
    training = fields.get("training")
    named = training.get("estimator") if isinstance(training, dict) else fields.get("training.estimator")
    split = f"{ref.split.kind} split, {one.holdout_rows} rows held out"
    return [
        *([("estimator", str(named))] if named else []),
        ("trained", f"on {ref.train_rows} rows; {split}"),
        *([("newest event", format_time(ref.newest_event))] if ref.newest_event else []),
        ("columns", f"{len(ref.columns)}: {', '.join(ref.columns)}"),
        ("training", ref.training),
        *([("fitted object", one.provenance.fitted)] if one.provenance else []),
        ("address", ref.model_uri),
        ("files", ref.folder),
    ]


def data(one: Lineage) -> Facts:
    """What the model's data are made of."""
    found: Facts = [("dataset", one.model.dataset_digest)]
    feeds: tuple[Feed, ...] = ("observations", "labels")
    for feed in feeds:
        files = [batch for batch in one.accepted if batch.feed == feed]
        if files:
            table = "".join(f"; {_version(each)}" for each in one.tables if each.table == feed)
            found.append((feed, f"{count(len(files), 'file')} with {sum(each.accepted for each in files)} rows{table}"))
    times = [batch for batch in one.accepted if batch.event_time_min and batch.event_time_max]
    if times:
        first = min(batch.event_time_min for batch in times if batch.event_time_min)
        last = max(batch.event_time_max for batch in times if batch.event_time_max)
        found.append(("event time", f"{format_time(first)} to {format_time(last)}"))
    quarantined = sum(batch.quarantined for batch in one.accepted)
    if quarantined:
        found.append(("quarantined", f"{quarantined} rows of these files"))
    found.append(("rejected", f"{count(len(one.refused), 'file')} until it was evaluated"))
    return found


def _version(one: TableVersion) -> str:
    rows = "" if one.rows is None else f" ({one.rows} rows)"
    return f"version {one.version}{'' if one.at is None else f' of {format_time(one.at)}'}{rows}"


def code(one: Lineage) -> Facts:
    """What code made it."""
    return [("commit", commit(one) or "not known"), ("modules", f"{len(one.code)} had a part in it")]


def commit(one: Lineage) -> str:
    """The commit that it was trained at; empty where it is not known."""
    if one.provenance:
        return one.provenance.commit
    return str(one.training.facts.get("commit", "")) if one.training else ""


def environment(one: Lineage) -> Facts:
    """Where it was trained."""
    provenance, found = one.provenance, packages(one)
    facts: Facts = []
    if provenance:
        facts = [
            ("python", f"{provenance.python}, {provenance.platform}"),
            ("threads", str(provenance.threads)),
            ("requirements.lock", provenance.lock or "not there"),
        ]
    if one.training:
        mattered = (f"{name} {number}" for name, number in one.training.parts.libraries.items())
        facts.append(("libraries", ", ".join(mattered)))
    return [*facts, ("packages", f"{len(found)} installed" if found else "not known")]


def packages(one: Lineage) -> dict[str, str]:
    """Every package that was installed, with its version; empty where it is not known."""
    if one.provenance:
        return one.provenance.packages
    known = one.training.facts.get("packages") if one.training else None
    return {name: str(number) for name, number in known.items()} if isinstance(known, dict) else {}


def config(one: Lineage) -> dict[str, object]:
    """The configuration as it was: whole, or the fields by path that the manifests have."""
    if one.provenance:
        return {**one.provenance.config}
    known = [stage.parts.config for stage in (one.features, one.training, one.evaluation) if stage]
    return dict(sorted((path, value) for part in known for path, value in part.items()))


def config_yaml(one: Lineage) -> str:
    """The configuration as it was, as YAML; empty where it is not known."""
    return _yaml(config(one))


def config_summary(one: Lineage) -> str:
    """The same for who reads its first lines: what decides the model comes first, and what is not set is left out."""
    found = config(one)
    ordered = {name: found[name] for name in sorted(found, key=lambda name: name not in _DECISIVE)}
    return _yaml({name: _set(value) for name, value in ordered.items() if _set(value) not in _UNSET})


def _yaml(found: dict[str, object]) -> str:
    return yaml.safe_dump(found, sort_keys=False, allow_unicode=True, default_flow_style=None) if found else ""


def _set(value: object) -> object:
    if isinstance(value, dict):
        kept = {name: _set(inner) for name, inner in value.items()}
        return {name: inner for name, inner in kept.items() if inner not in _UNSET}
    return [_set(inner) for inner in value] if isinstance(value, list) else value


def evaluation(one: Lineage) -> Facts:
    """The evaluation and its outcome."""
    evaluation = one.newest_evaluation
    verdict = evaluation.verdict
    incumbent = "the baseline" if verdict.champion_version is None else f"version {verdict.champion_version}"
    at, outcome = format_time(evaluation.at), evaluation.outcome.replace("_", " ")
    found: Facts = [
        ("evaluated", f"{at} by {evaluation.by}, against {incumbent}: {outcome}"),
        ("why", evaluation.reason),
    ]
    if verdict.comparison:
        gain = verdict.comparison
        sure = f"{gain.low:.4g} to {gain.high:.4g} at {gain.confidence:.0%}"
        found.append(("improvement", f"{verdict.primary} {gain.estimate:.4g} ({sure})"))
    more = len(one.evaluations) - 1
    if more:
        found.append(("evaluated again", f"{count(more, 'other time')}; --json lists each"))
    if one.approval:
        found.append(("approval", f"asked {format_time(one.approval.requested_at)}; {one.approval_told}"))
    return found


def usage(one: Lineage) -> Facts:
    """Predictions, labels and successors of the version."""
    predictions = one.predictions
    found: Facts = [("predictions", "none")]
    if predictions.first and predictions.last:
        when = (
            f"{format_time(predictions.first)} to {format_time(predictions.last)}"
            if predictions.first != predictions.last
            else format_time(predictions.first)
        )
        found = [("predictions", f"{predictions.rows} rows of {count(len(predictions.files), 'file')}, scored {when}")]
        labels = f" from {count(len(predictions.labels), 'file')}" if predictions.labels else ""
        found.append(("labels", f"{predictions.labelled} of them have a label by now{labels}"))
    if one.replaced_by:
        found.append(("replaced by", ", ".join(f"version {each}" for each in one.replaced_by)))
    return found


def count(number: int, noun: str) -> str:
    """A number with its noun, in the plural where needed."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
