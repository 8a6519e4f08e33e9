"""A version scores a file, from anywhere and to anywhere, or the observations that have no prediction yet."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from prefect import flow
from pydantic import Field

from configs.schema import PipelineConfig
from flows.context import stage_context
from flows.execute import with_prefect
from tasks.context import StageContext
from tasks.errors import UsageError
from tasks.ingestion.task import fetch_for_scoring, read_for_scoring
from tasks.progress import say
from tasks.records.model import ModelRef
from tasks.records.report import ScoreReport
from tasks.scoring.stage import ScoringInputs, known_result, run_scoring
from tasks.scoring.task import score_file
from tasks.stores.files.outputs import check
from tasks.stores.files.workspace import workspace
from tasks.stores.landing.addresses import PATTERN, Address, parse
from tasks.stores.registry.tracking import Tracking
from tasks.stores.settings import Settings

FileOrUrl = Annotated[str, Field(pattern=PATTERN)]


@flow(name="score", flow_run_name="score-{pipeline}")
def score(
    pipeline: str,
    source: FileOrUrl | None = None,
    output: FileOrUrl | None = None,
    version: int | None = None,
    now: datetime | None = None,
) -> ScoreReport:
    """Score a file into another or into the lake's `scored`; without one, observations into `predictions`.

    What was scored before by the same version is not scored again.

    Args:
        pipeline: The pipeline's name.
        source: The file to score, as a path or URL, with the key and the feature columns. A URL carries no secret.
        output: Where the result goes, as a path or URL; its ending says how: .csv, .parquet or .jsonl. Left out, into
            the lake.
        version: The version that scores; the champion by default. Without a file it scores every accepted batch that
            it has not scored yet, the champion those that came after the first training and that none has scored.
        now: The run's clock; the present by default.
    """
    given, into = addresses(source, output)
    with stage_context(pipeline, now) as context:
        tracking = Tracking(context.settings, pipeline)
        model = tracking.resolve(version) if version is not None else champion_of(context.config, context.settings)
        if given is None:
            return run_scoring(context, ScoringInputs(model=model, explicit_version=version is not None), with_prefect)
        with workspace(context.settings.state / "scoring") as folder:
            file = fetch_for_scoring(context, given, folder)
            known = known_result(context, model, file.file, into)
            if known is not None:
                say(f"{given} was scored by version {known.version} before: nothing is done")
                return known
            batch = read_for_scoring(context, file, model, folder)
            return score_file(context, model, batch, into, folder)


def subflow(context: StageContext, inputs: ScoringInputs) -> ScoreReport:
    """`run_scoring`, as a sub-flow: by the present champion, or by the version that is asked for."""
    version = inputs.model.version if inputs.explicit_version else None
    return score(context.pipeline, version=version, now=context.now)


def addresses(source: str | None, output: str | None) -> tuple[Address | None, Address | None]:
    """The file to score and where its result goes, where there are any.

    Raises:
        UsageError: they can't be meant, or the output can't be written.
    """
    given = None if source is None else parse(source, "input")
    into = None if output is None else parse(output, "output")
    if into is not None:
        if given is None:
            raise UsageError(
                "output: found no input; expected the file to score beside it. Observations go to the lake."
            )
        if given == into:
            raise UsageError(f"output: {into} is the input. Give the result another name.")
        check(into)
    return given, into


def champion_of(config: PipelineConfig, settings: Settings) -> ModelRef:
    """The champion.

    Raises:
        UsageError: there is none yet.
    """
    champion = Tracking(settings, config.name).champion()
    if champion is None:
        raise UsageError(f"{config.name} has no champion yet: land data and run `perennial run {config.name}` first.")
    return champion
