"""Run events: a stage began, ended well, failed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from openlineage.client.event_v2 import Job, Run, RunEvent, RunState, set_producer
from openlineage.client.facet_v2 import JobFacet, RunFacet
from openlineage.client.generated import parent_run
from openlineage.client.generated.documentation_job import DocumentationJobFacet
from openlineage.client.generated.error_message_run import ErrorMessageRunFacet
from openlineage.client.generated.job_type_job import EmissionPattern, JobTypeJobFacet
from openlineage.client.generated.nominal_time_run import NominalTimeRunFacet
from openlineage.client.generated.ownership_job import Owner, OwnershipJobFacet
from openlineage.client.generated.processing_engine_run import ProcessingEngineRunFacet
from openlineage.client.generated.source_code_location_job import SourceCodeLocationJobFacet
from openlineage.client.generated.test_run import TestExecution, TestRunFacet
from openlineage.client.git import get_git_repo_url
from openlineage.client.uuid import generate_new_uuid

from configs.schema import PipelineConfig
from tasks.records.decision import GateOutcome, Verdict
from tasks.records.stages import StageName
from tasks.stores.environment import ROOT, git_commit
from tasks.stores.lineage.datasets import StageDatasets
from tasks.stores.lineage.naming import without_credentials

# One event holds no more datasets than this on a side; what more there is comes before it, in RUNNING events.
MOST_DATASETS = 100
_DOES: dict[StageName, str] = {
    "ingestion": "Takes in what landed: reads, validates, puts aside what is refused.",
    "features": "Joins observations and labels, and splits them into training and holdout rows.",
    "training": "Fits the Pipeline, from the feature row to the prediction, on the training rows.",
    "evaluation": "Compares the candidate with the gates and the champion on the holdout rows.",
    "release": "Registers the candidate, and makes it champion if its verdict allows.",
}
_STATUS: dict[GateOutcome, str] = {
    "pass": "pass", "fail": "fail", "warn": "fail", "not_applicable": "skip", "error": "fail",
}  # fmt: skip


class Parent(NamedTuple):
    """The flow run that a stage is part of: Prefect's id of it, and its flow."""

    run_id: str
    flow: str


class StageEvents:
    """The events of one run of a stage.

    Args:
        namespace: Of the job.
        config: The pipeline.
        stage: The stage.
        at: The run's clock.
        parent: The flow run that it is part of.
    """

    def __init__(
        self, namespace: str, config: PipelineConfig, stage: StageName, at: datetime, parent: Parent | None
    ) -> None:
        set_producer(f"urn:perennial:{version('perennial')}")  # facets take it when they are made
        self.namespace, self.config, self.stage, self.at, self.parent = namespace, config, stage, at, parent
        self.run_id = str(generate_new_uuid())
        self._job = {**_job_facets(config, stage), **source_location()}

    def start(self, now: datetime, traffic: StageDatasets) -> Iterator[RunEvent]:
        """It begins."""
        return self._events(RunState.START, now, traffic, {})

    def complete(self, now: datetime, traffic: StageDatasets, verdict: Verdict | None = None) -> Iterator[RunEvent]:
        """It ended well."""
        return self._events(RunState.COMPLETE, now, traffic, {} if verdict is None else gates(verdict))

    def fail(self, now: datetime, traffic: StageDatasets, error: BaseException) -> Iterator[RunEvent]:
        """It failed, or was asked to stop."""
        state = RunState.FAIL if isinstance(error, Exception) else RunState.ABORT
        message = str(error) or type(error).__name__
        return self._events(state, now, traffic, {"errorMessage": ErrorMessageRunFacet(message, "python")})

    def _events(
        self, state: RunState, now: datetime, traffic: StageDatasets, more: dict[str, RunFacet]
    ) -> Iterator[RunEvent]:
        """One event, after RUNNING ones that hold the datasets that are too many for it; START stands alone."""
        chunks = list(_chunks(traffic))
        if state is RunState.START:
            chunks = chunks[:1]
        for number, chunk in enumerate(chunks, 1):
            last = number == len(chunks)
            yield RunEvent(
                eventType=state if last else RunState.RUNNING,
                eventTime=now.isoformat(),
                run=Run(self.run_id, {**self._run_facets(), **(more if last else {})}),
                job=Job(self.namespace, f"{self.config.name}.{self.stage}", dict(self._job)),
                inputs=chunk.inputs,
                outputs=chunk.outputs,
            )

    def _run_facets(self) -> dict[str, RunFacet]:
        mine, engine = version("perennial"), version("prefect")
        found: dict[str, RunFacet] = {
            "nominalTime": NominalTimeRunFacet(self.at.isoformat()),
            "processing_engine": ProcessingEngineRunFacet(engine, "Prefect", mine),
        }
        if self.parent is not None:
            run = parent_run.Run(self.parent.run_id)
            job = parent_run.Job(self.namespace, f"{self.config.name}.{self.parent.flow}")
            found["parent"] = parent_run.ParentRunFacet(run, job)
        return found


def _chunks(traffic: StageDatasets) -> Iterator[StageDatasets]:
    inputs, outputs = traffic
    while len(inputs) > MOST_DATASETS:
        yield StageDatasets(inputs[:MOST_DATASETS], [])
        inputs = inputs[MOST_DATASETS:]
    yield StageDatasets(inputs, outputs)


def _job_facets(config: PipelineConfig, stage: StageName) -> dict[str, JobFacet]:
    found: dict[str, JobFacet] = {
        "jobType": JobTypeJobFacet("BATCH", "PERENNIAL", "TASK", EmissionPattern("EVENT_BASED", "ACCUMULATIVE")),
        "documentation": DocumentationJobFacet(f"{_DOES[stage]} {config.name}: {config.description}", "text/plain"),
    }
    if config.owner:
        found["ownership"] = OwnershipJobFacet([Owner(config.owner, "OWNER")])
    return found


def gates(verdict: Verdict) -> dict[str, RunFacet]:
    """A verdict's gates as tests."""
    return {
        "test": TestRunFacet(
            [
                TestExecution(
                    name=f"{one.code} {one.title}",
                    status=_STATUS[one.outcome],
                    severity="error" if one.severity == "block" else "warn",
                    type=one.code,
                    description=one.reason,
                )
                for one in verdict.gates
            ]
        )
    }


def source_location(root: Path = ROOT) -> dict[str, JobFacet]:
    """Where the code came from: its remote without credentials, and its commit; nothing where there is no remote."""
    url = remote_url(get_git_repo_url(git_dir=root / ".git") or "")
    if not url:
        return {}
    return {"sourceCodeLocation": SourceCodeLocationJobFacet("git", url, repoUrl=url, version=git_commit() or None)}


def remote_url(remote: str) -> str:
    """A git remote as a URL without credentials; empty where it is a folder of this machine."""
    if "://" in remote:
        return "" if urlsplit(remote).scheme == "file" else without_credentials(remote)
    host, is_remote, path = remote.partition(":")
    if not is_remote or "/" in host:
        return ""
    return f"ssh://{host.rpartition('@')[2]}/{path.lstrip('/')}"
