"""The lineage of one version, read from audit, manifests, lake and the model's own files.

No pandas or Prefect is imported for it, and MLflow only where the model's files are not on this disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from pydantic import ValidationError

from configs.schema import PipelineConfig
from perennial.reporting.changes.candidates import EvaluatedVersion, evaluated_versions
from perennial.reporting.lineage import pages, usage
from perennial.reporting.lineage.address import resolve_version
from perennial.reporting.lineage.records import (
    CandidateEvaluation,
    ComparedCandidate,
    Lineage,
    LineageProblem,
    MonitoringCheck,
    PredictionSummary,
    TableVersion,
)
from tasks.errors import PerennialError
from tasks.records.data import BatchRecord, Feed
from tasks.records.model import ModelRef
from tasks.records.provenance import Manifest, Provenance
from tasks.records.stages import StageName
from tasks.stores.lake import delta
from tasks.stores.lake.tables import Lake, dataset_digest
from tasks.stores.lake.versions import snapshot
from tasks.stores.settings import Settings
from tasks.stores.state.approvals import Approvals
from tasks.stores.state.audit import Audit, ChampionPeriod
from tasks.stores.state.manifests import Manifests

_UNREADABLE = (PerennialError, delta.Error, OSError)


def read(config: PipelineConfig, settings: Settings, selector: str | None, now: datetime) -> Lineage:
    """All that is known of a version. What can't be read is listed among the problems, and the rest is there.

    Args:
        config: The pipeline.
        settings: Where its stores are.
        selector: What stands after the @ of its address; None: the champion.
        now: The present.

    Raises:
        UsageError: there is no such version.
        PerennialError: a candidate in the audit is damaged.
    """
    return _Reader(config, settings, now).read(selector)


class _Reader:
    """One reading: what could not be read is noted on the way."""

    def __init__(self, config: PipelineConfig, settings: Settings, now: datetime) -> None:
        self.config, self.settings, self.now = config, settings, now
        self.lake = Lake(settings, config)
        self.problems: list[LineageProblem] = []

    def read(self, selector: str | None) -> Lineage:
        name, audit = self.config.name, Audit(self.settings)
        candidates, damaged = self._candidates()
        periods = audit.champion_periods(name)
        versions = sorted({one.version for one in candidates if one.version is not None})
        version, asked = resolve_version(name, selector, versions, periods, self.now)
        own = [one for one in candidates if one.version == version]
        main = ([one for one in own if one.outcome == "promoted"] or own)[-1]
        model = main.candidate.model
        self._add_missing(main, damaged)
        ledger = self._ledger()
        accepted, refused = _files(ledger, model, main.at)
        self._check_dataset(accepted, model)
        ingestions, release = self._other_stages(accepted, main)
        request = Approvals(self.settings).of_version(name, version)
        return Lineage(
            pipeline=name,
            description=self.config.description,
            asked=asked,
            version=version,
            champion=periods[-1].version if periods else None,
            model=model,
            accepted=accepted,
            refused=refused,
            tables=tuple(self._tables(model)),
            provenance=self._provenance(model, version),
            ingestions=ingestions,
            features=main.manifests.get("features"),
            training=main.manifests.get("training"),
            evaluation=main.manifests.get("evaluation"),
            release=release,
            newest_evaluation=_candidate_evaluation(main),
            evaluations=tuple(_candidate_evaluation(one) for one in own),
            approval=request,
            approval_state="" if request is None else request.state(self.now),
            approval_told="" if request is None else request.describe(self.now),
            champion_periods=tuple(one for one in periods if one.version == version),
            pages=pages.pages_of(self.settings, name, model.run_id, version, main.manifests, release),
            predictions=self._predictions(ledger, version),
            watched=self._monitoring_checks(version),
            rivals=tuple(
                _compared_candidate(one) for one in candidates if one.candidate.verdict.champion_version == version
            ),
            replaced_by=_replaced_by(version, periods),
            problems=tuple(self.problems),
        )

    def _candidates(self) -> tuple[list[EvaluatedVersion], tuple[str, ...]]:
        try:
            return evaluated_versions(self.settings, self.config.name)
        except ValidationError as error:
            wrong = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in wrong["loc"])
            raise PerennialError(
                f"{self.config.name}: a candidate in the audit can't be read: {where}: {wrong['msg']}. It was written "
                "by another release, or the state database is damaged: restore it."
            ) from None

    def _add_missing(self, main: EvaluatedVersion, damaged: Sequence[str]) -> None:
        for missing in main.missing:
            stage, _, why = missing.partition(": ")
            broken = [one for one in damaged if f"({stage})" in one]
            self._add_problem(stage, "; ".join([why, *broken]))

    def _add_problem(self, place: str, message: object) -> None:
        self.problems.append(LineageProblem(place=place, message=str(message)))

    def _ledger(self) -> list[BatchRecord]:
        try:
            return self.lake.ledger()
        except _UNREADABLE as error:
            self._add_problem("data", f"the ledger can't be read: {error}")
            return []

    def _check_dataset(self, accepted: Sequence[BatchRecord], model: ModelRef) -> None:
        if self.problems and self.problems[-1].place == "data":
            return
        found = dataset_digest(accepted)
        if found != model.dataset_digest:
            self._add_problem(
                "data",
                f"the ledger's {len(accepted)} accepted files up to number {model.through_seq} make the dataset "
                f"{found[:12]}, but the model was trained on {model.dataset_digest[:12]}: files were taken out of the "
                "ledger or added to it since, or the lake is another.",
            )

    def _tables(self, model: ModelRef) -> list[TableVersion]:
        named: tuple[tuple[Feed, int | None], ...] = (("observations", model.observations), ("labels", model.labels))
        return [self._table(table, version) for table, version in named if version is not None]

    def _table(self, table: Feed, version: int) -> TableVersion:
        url = self.lake.url(table)
        plain = TableVersion(table=table, version=version, url=url)
        try:
            found = snapshot(url, version)
            if found is None:
                self._add_problem(
                    table, f"the table {url} is not there; the model was trained on its version {version}."
                )
                return plain
            return plain.model_copy(update={"at": found.at, "rows": found.table.count()})
        except _UNREADABLE as error:
            self._add_problem(table, f"version {version} can't be read: {error}")
            return plain

    def _other_stages(
        self, accepted: Sequence[BatchRecord], main: EvaluatedVersion
    ) -> tuple[tuple[Manifest, ...], Manifest | None]:
        """Manifests of the runs that took the files in, and of the release."""
        manifests, _ = Manifests(self.settings, self.config.name).readable()
        times = {one.ingested_at for one in accepted}
        model = main.candidate.model.run_id
        releases = [one for one in _of_stage("release", manifests) if one.parts.inputs.get("model") == model]
        done = [one for one in releases if one.output.get("outcome") == main.outcome] or releases
        ingestions = tuple(one for one in _of_stage("ingestion", manifests) if one.at in times)
        return ingestions, done[-1] if done else None

    def _provenance(self, model: ModelRef, version: int) -> Provenance | None:
        try:
            file = pages.provenance_file(self.settings, model, version)
            return Provenance.model_validate_json(file.read_bytes())
        except FileNotFoundError as error:
            self._add_problem(
                "provenance",
                f"{error.filename} is not there: configuration, packages and commit are those that the manifests have.",
            )
        except ValidationError as error:
            wrong = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in wrong["loc"]) or "the file"
            self._add_problem("provenance", f"{file} is damaged: {where}: {wrong['msg']}.")
        except _UNREADABLE as error:
            self._add_problem("provenance", f"it can't be read: {error}")
        return None

    def _predictions(self, ledger: Sequence[BatchRecord], version: int) -> PredictionSummary:
        try:
            return usage.predictions(self.config, self.lake, ledger, version)
        except _UNREADABLE as error:
            self._add_problem("predictions", f"the tables of predictions and labels can't be read: {error}")
            return PredictionSummary()

    def _monitoring_checks(self, version: int) -> tuple[MonitoringCheck, ...]:
        try:
            return usage.monitoring_checks(self.lake, version)
        except _UNREADABLE as error:
            self._add_problem("watched", f"the table of decisions can't be read: {error}")
            return ()


def _of_stage(stage: StageName, manifests: Sequence[Manifest]) -> list[Manifest]:
    return [one for one in manifests if one.stage == stage]


def _files(
    ledger: Sequence[BatchRecord], model: ModelRef, evaluated: datetime
) -> tuple[tuple[BatchRecord, ...], tuple[BatchRecord, ...]]:
    """Files that a model's data are made of, and those that were refused until it was evaluated."""
    accepted = (one for one in ledger if one.verdict == "accepted" and one.seq <= model.through_seq)
    refused = (one for one in ledger if one.verdict == "rejected")
    return tuple(accepted), tuple(
        one for one in refused if one.seq <= model.through_seq or one.ingested_at <= evaluated
    )


def _candidate_evaluation(one: EvaluatedVersion) -> CandidateEvaluation:
    candidate = one.candidate
    return CandidateEvaluation(
        at=one.at,
        by=one.by,
        outcome=one.outcome,
        reason=one.reason,
        evaluation=candidate.evaluation,
        verdict=candidate.verdict,
    )


def _compared_candidate(one: EvaluatedVersion) -> ComparedCandidate:
    return ComparedCandidate(version=one.version, at=one.at, outcome=one.outcome, reason=one.reason)


def _replaced_by(version: int, periods: Sequence[ChampionPeriod]) -> tuple[int, ...]:
    following = [after.version for one, after in pairwise(periods) if one.version == version]
    return tuple(dict.fromkeys(one for one in following if one != version))
