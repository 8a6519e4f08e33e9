"""Every evaluated candidate with the manifests of the stages that made it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from tasks.records.decision import Candidate
from tasks.records.provenance import Manifest
from tasks.records.stages import TRAINING_STAGES, StageName
from tasks.stores.settings import Settings
from tasks.stores.state.audit import Audit
from tasks.stores.state.candidates import evaluated
from tasks.stores.state.manifests import Manifests


class EvaluatedVersion(NamedTuple):
    """One evaluation of one model.

    Attributes:
        by: Who or what submitted it.
        manifests: Of the stages that made it, those that could be found.
        missing: What could not, in words.
    """

    at: datetime
    by: str
    candidate: Candidate
    outcome: str
    reason: str
    version: int | None
    manifests: dict[StageName, Manifest]
    missing: tuple[str, ...]

    @property
    def name(self) -> str:
        """The version's name in reports."""
        return "a candidate without a number" if self.version is None else f"version {self.version}"


def evaluated_versions(settings: Settings, pipeline: str) -> tuple[list[EvaluatedVersion], tuple[str, ...]]:
    """All that were evaluated, oldest first, and what is wrong with manifests that can't be read."""
    audit = Audit(settings)
    entries = audit.entries(pipeline, "candidate")
    intents = [entry for entry in entries if entry.phase == "intent"]
    reasons = {entry.intent: entry.reason for entry in entries if entry.phase == "done"}
    manifests, damaged = Manifests(settings, pipeline).readable()
    found = []
    for entry, (at, candidate, outcome, version) in zip(intents, evaluated(audit, pipeline), strict=True):
        found_manifests = dict(_training_manifests(candidate, manifests))
        missing = tuple(
            f"{step}: {_missing_reason(step, found_manifests, damaged)}"
            for step in TRAINING_STAGES
            if step not in found_manifests
        )
        reason = reasons.get(entry.id) or _reason(candidate)
        found.append(EvaluatedVersion(at, entry.actor, candidate, outcome, reason, version, found_manifests, missing))
    return found, tuple(damaged)


def _training_manifests(candidate: Candidate, manifests: Sequence[Manifest]) -> Iterator[tuple[StageName, Manifest]]:
    """The manifests of the runs of stages that made a candidate: of several alike, the newest."""
    run = candidate.model.run_id
    for training in _with_fingerprint("training", candidate.model.training, manifests):
        if training.output.get("run_id") == run:
            # Two sets may be one but for columns that a champion takes beside: the one made before the training.
            wanted = training.parts.inputs.get("training_set")
            for one in manifests[: manifests.index(training)]:
                if one.stage == "features" and one.output.get("digest") == wanted:
                    yield "features", one
            yield "training", training
    for evaluation in _with_fingerprint("evaluation", candidate.evaluation, manifests):
        yield "evaluation", evaluation


def _with_fingerprint(stage: StageName, fingerprint: str, manifests: Sequence[Manifest]) -> list[Manifest]:
    return [one for one in manifests if one.stage == stage and one.fingerprint == fingerprint]


def _missing_reason(step: StageName, kept: dict[StageName, Manifest], damaged: Sequence[str]) -> str:
    if step == "features" and "training" not in kept:
        return "not known without training's manifest"
    if any(f"({step})" in one for one in damaged):
        return "its manifest is damaged or not there"
    return "there is no manifest of it: the version is older than manifests, or the state database is another"


def _reason(candidate: Candidate) -> str:
    verdict = candidate.verdict
    return "; ".join(verdict.reasons) or "; ".join(gate.reason for gate in verdict.gates if gate.code == "Q02")
