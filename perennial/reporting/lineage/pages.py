"""Where the servers show a model and its runs, and where the model's own files are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from perennial.ops.running import running
from perennial.reporting.lineage.records import PageLink
from tasks.records.model import ModelRef
from tasks.records.provenance import Manifest
from tasks.records.stages import StageName
from tasks.stores.settings import Settings

# tasks.stores.registry.models, which names them, imports scikit-learn.
_PROVENANCE = Path("extra_files") / "provenance.json"


def pages_of(
    settings: Settings,
    pipeline: str,
    run: str,
    version: int,
    manifests: Mapping[StageName, Manifest],
    release: Manifest | None,
) -> tuple[PageLink, ...]:
    """The model's run and version in MLflow, and the flow runs in Prefect that made it."""
    mlflow, prefect = settings.mlflow_page, prefect_page(settings)
    found = [
        PageLink(title="MLflow run", name=run, target=f"{mlflow}/#/runs/{run}" if mlflow else ""),
        PageLink(
            title="MLflow model",
            name=f"{pipeline} version {version}",
            target=f"{mlflow}/#/models/{pipeline}/versions/{version}" if mlflow else "",
        ),
    ]
    stages = [*manifests.values(), *([release] if release else [])]
    for flow in dict.fromkeys(one.run for one in stages if one.run):
        stages_text = ", ".join(one.stage for one in stages if one.run == flow)
        target = f"{prefect}/runs/flow-run/{flow}" if prefect else ""
        found.append(PageLink(title=f"Prefect run: {stages_text}", name=flow, target=target))
    return tuple(found)


def prefect_page(settings: Settings) -> str | None:
    """Address of Prefect's pages, without a slash at its end; None where no server is known."""
    up = running(settings)
    if up is not None:
        return up.prefect.rstrip("/")
    api = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    return (os.environ.get("PREFECT_UI_URL") or api.removesuffix("/api")).rstrip("/") or None


def provenance_file(settings: Settings, model: ModelRef, version: int) -> Path:
    """The file that says what a model was made from: where it was logged, or wherever the registry has it now.

    Raises:
        PerennialError: it was logged elsewhere, and the registry gives no answer, or has not its files.
    """
    logged = Path(model.folder) / _PROVENANCE
    if Path(model.folder).is_dir():
        return logged
    from tasks.stores.registry.tracking import Tracking

    return Path(Tracking(settings, model.pipeline).resolve(version).folder) / _PROVENANCE
