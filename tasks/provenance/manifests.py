"""The manifest of a stage that ended well, as its run stores it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from tasks.context import StageContext
from tasks.records.base import StoredRecord
from tasks.records.provenance import Manifest, StageDependencies
from tasks.records.stages import StageName
from tasks.stores.state.manifests import Manifests
from tasks.stores.usage import Meter


def store_manifest(
    context: StageContext,
    stage: StageName,
    dependencies: StageDependencies,
    output: StoredRecord | Mapping[str, JsonValue],
    meter: Meter,
    facts: Mapping[str, JsonValue] | None = None,
) -> None:
    """Store the manifest of a stage that ended well.

    Args:
        context: The run's context.
        stage: The stage.
        dependencies: What its output depended on.
        output: What it returned: a record, or counts.
        meter: Measures since the stage began.
        facts: What a person wants to know of its inputs.
    """
    given = output.document() if isinstance(output, StoredRecord) else dict(output)
    Manifests(context.settings, context.pipeline).put(
        Manifest(
            pipeline=context.pipeline,
            stage=stage,
            fingerprint=dependencies.fingerprint,
            parts=dependencies,
            output=given,
            facts=dict(facts or {}),
            run=context.flow_run,
            at=context.now,
            cost=meter.cost(),
        )
    )
