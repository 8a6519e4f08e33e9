"""Every judged candidate with the manifests of the stages that made it."""

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


class Made(NamedTuple):
    """One judgement of one model.

    Attributes:
        by: Who or what put it forward.
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
        """How it is called."""
        return "a candidate without a number" if self.version is None else f"version {self.version}"


def made(settings: Settings, pipeline: str) -> tuple[list[Made], tuple[str, ...]]:
    """All that were judged, oldest first, and what is wrong with manifests that can't be read."""
    audit = Audit(settings)
    entries = audit.entries(pipeline, "candidate")
    intents = [entry for entry in entries if entry.phase == "intent"]
    ends = {entry.intent: entry.reason for entry in entries if entry.phase == "done"}
    manifests, damaged = Manifests(settings, pipeline).readable()
    found = []
    for entry, (at, candidate, outcome, version) in zip(intents, evaluated(audit, pipeline), strict=True):
        kept = dict(_of(candidate, manifests))
        missing = tuple(f"{step}: {_why(step, kept, damaged)}" for step in TRAINING_STAGES if step not in kept)
        reason = ends.get(entry.id) or _reason(candidate)
        found.append(Made(at, entry.actor, candidate, outcome, reason, version, kept, missing))
    return found, tuple(damaged)


def _of(candidate: Candidate, manifests: Sequence[Manifest]) -> Iterator[tuple[StageName, Manifest]]:
    """The manifests of the runs of stages that made a candidate: of several alike, the newest."""
    run = candidate.model.run_id
    for training in _alike("training", candidate.model.training, manifests):
        if training.output.get("run_id") == run:
            # Two sets may be one but for columns that a champion takes beside: the one made before the training.
            wanted = training.parts.inputs.get("training_set")
            for one in manifests[: manifests.index(training)]:
                if one.stage == "features" and one.output.get("digest") == wanted:
                    yield "features", one
            yield "training", training
    for evaluation in _alike("evaluation", candidate.evaluation, manifests):
        yield "evaluation", evaluation


def _alike(stage: StageName, fingerprint: str, manifests: Sequence[Manifest]) -> list[Manifest]:
    return [one for one in manifests if one.stage == stage and one.fingerprint == fingerprint]


def _why(step: StageName, kept: dict[StageName, Manifest], damaged: Sequence[str]) -> str:
    if step == "features" and "training" not in kept:
        return "not known without training's manifest"
    if any(f"({step})" in one for one in damaged):
        return "its manifest is damaged or not there"
    return "there is no manifest of it: the version is older than manifests, or the state database is another"


def _reason(candidate: Candidate) -> str:
    verdict = candidate.verdict
    return "; ".join(verdict.reasons) or "; ".join(gate.reason for gate in verdict.gates if gate.code == "Q02")
